// SPDX-License-Identifier: Apache-2.0
// Kernels of the pairwise loss of a batch.
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/scalar_input.h"
#include "cc/losses/inbatch_auc.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tensorflow::monolith_kernels {
namespace {

using ::monolith::losses::InbatchAucPairs;

enum Input { kLabel = 0, kLogit = 1, kGrad = 2 };

// What a unit of work costs, in ns, is about half its pairs.
int64_t CostPerUnit(const InbatchAucPairs& pairs) { return pairs.num_pairs() / (2 * pairs.num_units() + 1) + 1; }

class InbatchAucOp : public OpKernel {
 public:
  explicit InbatchAucOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("neg_weight", &neg_weight_));
    OP_REQUIRES(ctx, neg_weight_ > 0 && neg_weight_ <= 1,
                absl::InvalidArgumentError(absl::StrCat(ctx->def().op(), ": neg_weight is ", neg_weight_,
                                                        "; it must be in (0, 1], where 1 weighs both sides alike.")));
  }

 protected:
  absl::Status CheckSizes(OpKernelContext* ctx) const {
    const Tensor &label = ctx->input(kLabel), &logit = ctx->input(kLogit);
    if (label.NumElements() == logit.NumElements()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(type_string(), ": label is ", label.shape().DebugString(),
                                                   " but logit is ", logit.shape().DebugString(),
                                                   "; give both one number a row."));
  }

  InbatchAucPairs Pairs(OpKernelContext* ctx) const {
    const Tensor& logit = ctx->input(kLogit);
    return {ctx->input(kLabel).flat<float>().data(), logit.flat<float>().data(), logit.NumElements()};
  }

  float neg_weight_;
};

class InbatchAucLossOp : public InbatchAucOp {
 public:
  using InbatchAucOp::InbatchAucOp;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, CheckSizes(ctx));
    Tensor* loss = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({}), &loss));
    const InbatchAucPairs pairs = Pairs(ctx);
    std::vector<double> values(pairs.num_units());
    OP_REQUIRES_OK(ctx, ::monolith::RunUnits(ctx, pairs.num_units(), CostPerUnit(pairs),
                                             [&](int64_t unit) { values[unit] = pairs.UnitValue(unit); }));
    double sum = 0;
    for (const double value : values) sum += value;
    loss->scalar<float>()() = sum;
  }
};

class InbatchAucLossGradOp : public InbatchAucOp {
 public:
  using InbatchAucOp::InbatchAucOp;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, CheckSizes(ctx));
    float grad;
    OP_REQUIRES_OK(ctx, ::monolith::ReadScalar(ctx, kGrad, "grad", &grad));
    Tensor* logit_grad = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(kLogit).shape(), &logit_grad));
    const InbatchAucPairs pairs = Pairs(ctx);
    InbatchAucPairs::Gradient gradient(pairs);
    OP_REQUIRES_OK(ctx, ::monolith::RunUnits(ctx, pairs.num_units(), CostPerUnit(pairs),
                                             [&](int64_t unit) { gradient.RunUnit(unit); }));
    gradient.Write(grad, neg_weight_, logit_grad->flat<float>().data());
  }
};

REGISTER_KERNEL_BUILDER(Name("InbatchAucLoss").Device(DEVICE_CPU), InbatchAucLossOp);
REGISTER_KERNEL_BUILDER(Name("InbatchAucLossGrad").Device(DEVICE_CPU), InbatchAucLossGradOp);

}  // namespace
}  // namespace tensorflow::monolith_kernels
