// SPDX-License-Identifier: Apache-2.0
// Kernels that take an optimizer's step on dense variables.
#include <vector>

#include "cc/dense_optimizers/adamom.h"
#include "cc/dense_optimizers/rmsprop.h"
#include "cc/kernels/locked_variables.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/scalar_input.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tensorflow::monolith_kernels {
namespace {

using ::monolith::LockedVariables;
using ::monolith::dense_optimizers::Adamom;
using ::monolith::dense_optimizers::Rmsprop;

// Weights are updated independently, so many at a time.
constexpr int64_t kWeightsPerUnit = 4096;
constexpr int64_t kNanosecondsPerUnit = 8192;

template <typename Rule>
class TrainingOp : public OpKernel {
 public:
  explicit TrainingOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("update_slots", &update_slots_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_v2", &use_v2_));
  }

 protected:
  Rule NewRule() const {
    Rule rule{};
    rule.update_slots = update_slots_;
    rule.use_v2 = use_v2_;
    return rule;
  }

  // Calls step(begin, end, grad) for the ranges of all weights, with the variables locked.
  template <typename Step>
  void Run(OpKernelContext* ctx, const std::vector<const char*>& names, const Step& step) {
    const Tensor& grad = ctx->input(ctx->num_inputs() - 1);
    LockedVariables variables;
    OP_REQUIRES_OK(ctx, variables.Lock(ctx, names, grad.shape()));
    const float* data = grad.flat<float>().data();
    const auto step_range = [&](int64_t begin, int64_t end) {
      step(end - begin, data + begin, [&](int i) { return variables.data(i) + begin; });
    };
    OP_REQUIRES_OK(ctx,
                   ::monolith::RunRanges(ctx, grad.NumElements(), kWeightsPerUnit, kNanosecondsPerUnit, step_range));
  }

 private:
  bool update_slots_, use_v2_;
};

class ApplyAdamomOp : public TrainingOp<Adamom> {
 public:
  using TrainingOp::TrainingOp;

  void Compute(OpKernelContext* ctx) override {
    Adamom rule = NewRule();
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "learning_rate", &rule.learning_rate));
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "ada_decay", &rule.ada_decay));
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "mom_decay", &rule.mom_decay));
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "epsilon", &rule.epsilon));
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "weight_decay", &rule.weight_decay));
    Run(ctx, {"var", "m", "v", "c"},
        [&](int64_t n, const float* grad, const auto& at) { rule.Step(n, grad, at(0), at(1), at(2), at(3)); });
  }
};

class ApplyRmspropOp : public TrainingOp<Rmsprop> {
 public:
  using TrainingOp::TrainingOp;

  void Compute(OpKernelContext* ctx) override {
    Rmsprop rule = NewRule();
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "learning_rate", &rule.learning_rate));
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "beta1", &rule.beta1));
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "beta2", &rule.beta2));
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "epsilon", &rule.epsilon));
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, "weight_decay", &rule.weight_decay));
    Run(ctx, {"var", "m", "v"},
        [&](int64_t n, const float* grad, const auto& at) { rule.Step(n, grad, at(0), at(1), at(2)); });
  }
};

REGISTER_KERNEL_BUILDER(Name("ResourceApplyAdamom").Device(DEVICE_CPU), ApplyAdamomOp);
REGISTER_KERNEL_BUILDER(Name("ResourceApplyRmsprop").Device(DEVICE_CPU), ApplyRmspropOp);

}  // namespace
}  // namespace tensorflow::monolith_kernels
