// SPDX-License-Identifier: Apache-2.0
// What shape functions of table ops share.
#ifndef CC_OPS_TABLE_SHAPES_H_
#define CC_OPS_TABLE_SHAPES_H_

#include <vector>

#include "absl/status/status.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

constexpr int kFlat = -1;  // read flat: any rank

// Checks inputs from `first` on; a rank may be kFlat.
inline absl::Status CheckRanks(::tensorflow::shape_inference::InferenceContext* c, int first,
                               const std::vector<int>& ranks) {
  ::tensorflow::shape_inference::ShapeHandle unused;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i] != kFlat) TF_RETURN_IF_ERROR(c->WithRank(c->input(first + i), ranks[i], &unused));
  }
  return absl::OkStatus();
}

// A scalar handle in, then inputs of the given ranks; a scalar handle out.
inline auto HandleThenRanks(std::vector<int> ranks) {
  return [ranks](::tensorflow::shape_inference::InferenceContext* c) -> absl::Status {
    TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0}));
    TF_RETURN_IF_ERROR(CheckRanks(c, 1, ranks));
    c->set_output(0, c->Scalar());
    return absl::OkStatus();
  };
}

}  // namespace monolith

#endif  // CC_OPS_TABLE_SHAPES_H_
