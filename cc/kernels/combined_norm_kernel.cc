// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "cc/hash_table/combine.h"
#include "cc/kernels/combined_features.h"
#include "cc/kernels/run_units.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kRowsPerUnit = 1024;  // a constant: partial sums must not depend on the number of threads
constexpr int64_t kCostPerRow = 10;     // ns

class CombinedGradientNormOp : public OpKernel {
 public:
  explicit CombinedGradientNormOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadCombinePlan(ctx, &plan_));
  }

  void Compute(OpKernelContext* ctx) override {
    CombinedIds ids;
    OP_REQUIRES_OK(ctx, ReadCombinedIds(ctx, *plan_, &ids));
    std::vector<const float*> gradients;
    OP_REQUIRES_OK(ctx, ReadOutputGradients(ctx, *plan_, ids.batch, &gradients));
    Tensor* norm;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({}), &norm));
    const int64_t units = (ids.batch + kRowsPerUnit - 1) / kRowsPerUnit;
    std::vector<double> sums(units * plan_->num_features());
    OP_REQUIRES_OK(ctx, RunUnits(ctx, sums.size(), kRowsPerUnit * kCostPerRow, [&](int64_t i) {
                     const int feature = static_cast<int>(i / units);
                     const int64_t first = i % units * kRowsPerUnit;
                     sums[i] = CombinedGradientSquares(*plan_, feature, ids.features[feature], first,
                                                       std::min(first + kRowsPerUnit, ids.batch), gradients.data());
                   }));
    norm->scalar<float>()() = static_cast<float>(std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0)));
  }

 private:
  std::unique_ptr<CombinePlan> plan_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithCombinedGradientNorm").Device(::tensorflow::DEVICE_CPU), CombinedGradientNormOp);

}  // namespace
}  // namespace monolith
