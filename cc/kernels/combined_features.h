// SPDX-License-Identifier: Apache-2.0
// Attributes and inputs that the combined lookup and the combined optimizer share.
#ifndef CC_KERNELS_COMBINED_FEATURES_H_
#define CC_KERNELS_COMBINED_FEATURES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "cc/hash_table/combine_plan.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {

// Makes the plan that the attributes of an op describe.
absl::Status ReadCombinePlan(::tensorflow::OpKernelConstruction* ctx, std::unique_ptr<CombinePlan>* plan);

// The ids of all features of one call.
struct CombinedIds {
  int64_t batch = 0;
  int64_t num_fids = 0;
  std::vector<FeatureIds> features;
  std::vector<std::vector<int64_t>> wide_splits;  // row splits that came as int32
};

// Reads and checks the inputs `ids` and `row_splits`.
absl::Status ReadCombinedIds(::tensorflow::OpKernelContext* ctx, const CombinePlan& plan, CombinedIds* ids);

// Allocates the outputs of an op whose first ones are those of the plan.
absl::Status AllocateCombinedOutputs(::tensorflow::OpKernelContext* ctx, const CombinePlan& plan, int64_t batch,
                                     std::vector<float*>* outputs);

// Rows of one feature that one unit of work combines.
struct CombinedUnit {
  int feature;
  int64_t first_row, last_row;
};

// Divides all rows of all features by their fids.
std::vector<CombinedUnit> DivideRows(const CombinedIds& ids);

// Reads and checks the input `output_gradients`: a tensor for each output.
absl::Status ReadOutputGradients(::tensorflow::OpKernelContext* ctx, const CombinePlan& plan, int64_t batch,
                                 std::vector<const float*>* gradients);

}  // namespace monolith

#endif  // CC_KERNELS_COMBINED_FEATURES_H_
