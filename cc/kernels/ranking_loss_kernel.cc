// SPDX-License-Identifier: Apache-2.0
// Kernels of losses over lists of scored items.
#include <string>
#include <vector>

#include "cc/kernels/layer_inputs.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/scalar_input.h"
#include "cc/losses/ranking_loss.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

enum Input { kLabels = 0, kLogits = 1, kWeights = 2, kTies = 3, kRankWeights = 4 };

// Steps through a matrix that has 1 or all of the lists, and 1 or all of the items.
absl::Status ReadStrides(OpKernelContext* ctx, int input, const char* name, int64_t* list_stride,
                         int64_t* item_stride) {
  const Tensor& matrix = ctx->input(input);
  const Tensor& labels = ctx->input(kLabels);
  const auto fits = [&](int axis) {
    return matrix.dim_size(axis) == 1 || matrix.dim_size(axis) == labels.dim_size(axis);
  };
  if (matrix.dims() != 2 || !fits(0) || !fits(1)) {
    return BadLayerInput(ctx, name, " has shape ", matrix.shape().DebugString(), " but labels have ",
                         labels.shape().DebugString(), "; give it 1 or all of their lists and items.");
  }
  *list_stride = matrix.dim_size(0) == 1 ? 0 : matrix.dim_size(1);
  *item_stride = matrix.dim_size(1) == 1 ? 0 : 1;
  return absl::OkStatus();
}

template <typename T>
const T* Data(OpKernelContext* ctx, int input) {
  return ctx->input(input).template flat<T>().data();
}

// What the four ops share: they read lists, and ListMLE its ties and rank weights.
template <typename T, bool kIsListMle>
class RankingOp : public OpKernel {
 public:
  explicit RankingOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    if (kIsListMle) return;
    std::string name;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("loss_name", &name));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("alpha", &alpha_));
    kind_ = *losses::RankingLossOfName(name);  // the op declares the same names
  }

 protected:
  absl::Status ReadLists(OpKernelContext* ctx, losses::Lists<T>* lists, losses::DrawSettings<T>* draws) const {
    TF_RETURN_IF_ERROR(CheckMatrix(ctx, kLabels, "labels"));
    const int64_t num_lists = ctx->input(kLabels).dim_size(0), list_size = ctx->input(kLabels).dim_size(1);
    TF_RETURN_IF_ERROR(CheckShape(ctx, kLogits, "logits", num_lists, list_size));
    *lists = {Data<T>(ctx, kLabels), Data<T>(ctx, kLogits), Data<T>(ctx, kWeights), 0, 0, num_lists, list_size,
              num_lists * list_size};
    TF_RETURN_IF_ERROR(ReadStrides(ctx, kWeights, "weights", &lists->list_stride, &lists->item_stride));
    if (!kIsListMle) return absl::OkStatus();
    TF_RETURN_IF_ERROR(CheckShape(ctx, kTies, "ties", num_lists, list_size));
    *draws = {Data<T>(ctx, kTies), Data<T>(ctx, kRankWeights), 0, 0};
    return ReadStrides(ctx, kRankWeights, "rank_weights", &draws->list_stride, &draws->rank_stride);
  }

  losses::RankingLossWork<T> Work(const losses::Lists<T>& lists, const losses::DrawSettings<T>& draws) const {
    return {kind_, lists, alpha_, draws};
  }

 private:
  losses::RankingLossKind kind_ = losses::RankingLossKind::kListMle;
  float alpha_ = 0;
};

template <typename T, bool kIsListMle>
class RankingLossOp : public RankingOp<T, kIsListMle> {
 public:
  explicit RankingLossOp(OpKernelConstruction* ctx) : RankingOp<T, kIsListMle>(ctx) {
    std::string name;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("reduction", &name));
    reduction_ = *losses::RankingReductionOfName(name);
  }

  void Compute(OpKernelContext* ctx) override {
    losses::Lists<T> lists;
    losses::DrawSettings<T> draws = {};
    OP_REQUIRES_OK(ctx, this->ReadLists(ctx, &lists, &draws));
    Tensor *loss = nullptr, *divisor = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({}), &loss));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, TensorShape({}), &divisor));
    const losses::RankingLossWork<T> work = this->Work(lists, draws);
    std::vector<losses::Totals> parts(work.num_units());
    OP_REQUIRES_OK(ctx, RunUnits(ctx, work.num_units(), work.cost_per_unit(),
                                 [&](int64_t unit) { parts[unit] = work.UnitTotals(unit); }));
    losses::Totals totals;
    for (const losses::Totals& part : parts) totals.Add(part);
    const double by = losses::Divisor(reduction_, totals);
    loss->scalar<T>()() = losses::Divide(totals.loss, by);
    divisor->scalar<T>()() = by;
  }

 private:
  losses::RankingReduction reduction_ = losses::RankingReduction::kSum;
};

template <typename T, bool kIsListMle>
class RankingLossGradOp : public RankingOp<T, kIsListMle> {
 public:
  using RankingOp<T, kIsListMle>::RankingOp;

  void Compute(OpKernelContext* ctx) override {
    losses::Lists<T> lists;
    losses::DrawSettings<T> draws = {};
    OP_REQUIRES_OK(ctx, this->ReadLists(ctx, &lists, &draws));
    T divisor, grad;
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, ctx->num_inputs() - 2, "divisor", &divisor));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, ctx->num_inputs() - 1, "grad", &grad));
    Tensor* output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(kLogits).shape(), &output));
    T* gradient = output->template flat<T>().data();
    const double scale = losses::Divide(grad, divisor);
    const losses::RankingLossWork<T> work = this->Work(lists, draws);
    OP_REQUIRES_OK(ctx, RunUnits(ctx, work.num_units(), work.cost_per_unit(),
                                 [&](int64_t unit) { work.UnitGradient(unit, scale, gradient); }));
  }
};

#define REGISTER(T)                                                                                        \
  REGISTER_KERNEL_BUILDER(Name("RankingLoss").Device(::tensorflow::DEVICE_CPU).TypeConstraint<T>("T"),     \
                          RankingLossOp<T, false>);                                                        \
  REGISTER_KERNEL_BUILDER(Name("RankingLossGrad").Device(::tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          RankingLossGradOp<T, false>);                                                    \
  REGISTER_KERNEL_BUILDER(Name("ListMleLoss").Device(::tensorflow::DEVICE_CPU).TypeConstraint<T>("T"),     \
                          RankingLossOp<T, true>);                                                         \
  REGISTER_KERNEL_BUILDER(Name("ListMleLossGrad").Device(::tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          RankingLossGradOp<T, true>)

REGISTER(float);
REGISTER(double);
#undef REGISTER

}  // namespace
}  // namespace monolith
