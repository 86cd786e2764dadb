// SPDX-License-Identifier: Apache-2.0
// What the kernels of FFM share.
#ifndef CC_KERNELS_FFM_ROWS_H_
#define CC_KERNELS_FFM_ROWS_H_

#include <string>

#include "cc/kernels/run_units.h"
#include "cc/layers/ffm.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {

inline absl::Status GetFfmKind(::tensorflow::OpKernelConstruction* ctx, layers::FfmKind* kind) {
  std::string int_type;
  TF_RETURN_IF_ERROR(ctx->GetAttr("int_type", &int_type));
  *kind = int_type == "dot" ? layers::FfmKind::kDot : layers::FfmKind::kMultiply;
  return absl::OkStatus();
}

constexpr int64_t kFfmRowsPerUnit = 16;

// Runs work(rows) over the batch, at most kFfmRowsPerUnit rows at a time, which make `passes` products of every pair's
// elements.
template <typename Work>
absl::Status RunFfmRows(::tensorflow::OpKernelContext* ctx, int64_t batch, const layers::FfmShape& shape, int passes,
                        const Work& work) {
  constexpr double kCostPerProduct = 0.3;  // ns
  const auto products = static_cast<double>(passes * shape.num_left * shape.right_width());
  const int64_t cost = static_cast<int64_t>(kFfmRowsPerUnit * kCostPerProduct * products) + 1;
  return RunRanges(ctx, batch, kFfmRowsPerUnit, cost,
                   [&](int64_t begin, int64_t end) { work(layers::FfmRows{begin, end}); });
}

}  // namespace monolith

#endif  // CC_KERNELS_FFM_ROWS_H_
