// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <vector>

#include "absl/strings/str_join.h"
#include "cc/kernels/layer_inputs.h"
#include "cc/kernels/partial_sums.h"
#include "cc/kernels/run_units.h"
#include "cc/layers/feature_insight.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::DT_FLOAT;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kRowsPerUnit = 64;

class FeatureInsightOpBase : public OpKernel {
 public:
  explicit FeatureInsightOpBase(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("segment_sizes", &sizes_));
    for (int64_t size : sizes_) {
      OP_REQUIRES(ctx, size >= 0,
                  absl::InvalidArgumentError(absl::StrCat(type_string(), ": segment_sizes are [",
                                                          absl::StrJoin(sizes_, ", "), "]; no width is negative.")));
    }
  }

 protected:
  // Checks input and weight, the first of which is input number `first`.
  absl::Status CheckFactors(OpKernelContext* ctx, int first) const {
    TF_RETURN_IF_ERROR(CheckMatrix(ctx, first, "input"));
    TF_RETURN_IF_ERROR(CheckMatrix(ctx, first + 1, "weight"));
    const int64_t width = ctx->input(first).dim_size(1), rows = ctx->input(first + 1).dim_size(0);
    int64_t sum = 0;
    for (int64_t size : sizes_) sum += size;
    if (width == sum && rows == sum) return absl::OkStatus();
    return BadLayerInput(ctx, "segment_sizes add up to ", sum, ", but input has ", width, " columns and weight ", rows,
                         " rows; all three must be equal.");
  }

  std::vector<int64_t> sizes_;
};

class FeatureInsightOp : public FeatureInsightOpBase {
 public:
  using FeatureInsightOpBase::FeatureInsightOpBase;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, CheckFactors(ctx, 0));
    const layers::FeatureInsight insight(sizes_, ctx->input(1).dim_size(1));
    const int64_t batch = ctx->input(0).dim_size(0), width = insight.output_width();
    Tensor* output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({batch, width}), &output));
    const float* input = ctx->input(0).flat<float>().data();
    const float* weight = ctx->input(1).flat<float>().data();
    float* out = output->flat<float>().data();
    const int64_t cost = CostOfProducts(kRowsPerUnit, insight.weight_size() + width);
    OP_REQUIRES_OK(ctx, RunRanges(ctx, batch, kRowsPerUnit, cost, [&](int64_t row, int64_t end) {
                     insight.Forward(end - row, input + row * insight.input_width(), weight, out + row * width);
                   }));
  }
};

class FeatureInsightGradOp : public FeatureInsightOpBase {
 public:
  explicit FeatureInsightGradOp(OpKernelConstruction* ctx) : FeatureInsightOpBase(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("K", &units_));
  }

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, CheckFactors(ctx, 1));
    const layers::FeatureInsight insight(sizes_, units_);
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 2, "weight", insight.input_width(), units_));
    const int64_t batch = ctx->input(1).dim_size(0);
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 0, "grad", batch, insight.output_width()));
    Tensor *input_grad = nullptr, *weight_grad = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(1).shape(), &input_grad));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, ctx->input(2).shape(), &weight_grad));
    OP_REQUIRES_OK(ctx, Run(ctx, insight, batch, input_grad->flat<float>().data(), weight_grad->flat<float>().data()));
  }

 private:
  absl::Status Run(OpKernelContext* ctx, const layers::FeatureInsight& insight, int64_t batch, float* input_grad,
                   float* weight_grad) const {
    Tensor transposed;
    TF_RETURN_IF_ERROR(ctx->allocate_temp(DT_FLOAT, TensorShape({insight.weight_size()}), &transposed));
    float* turned = transposed.flat<float>().data();
    const float* grad = ctx->input(0).flat<float>().data();
    const float* input = ctx->input(1).flat<float>().data();
    insight.TransposeWeight(ctx->input(2).flat<float>().data(), turned);
    const int64_t num_chunks = insight.num_chunks(batch), size = insight.weight_size();
    const int64_t cost = CostOfProducts(batch / num_chunks + 1, 2 * size);
    return RunPartialSums(ctx, num_chunks, cost, size, weight_grad, [&](int64_t chunk, float* partial) {
      insight.ChunkGradient(chunk, batch, grad, input, turned, input_grad, partial);
    });
  }

  int64_t units_;
};

REGISTER_KERNEL_BUILDER(Name("FeatureInsight").Device(::tensorflow::DEVICE_CPU), FeatureInsightOp);
REGISTER_KERNEL_BUILDER(Name("FeatureInsightGrad").Device(::tensorflow::DEVICE_CPU), FeatureInsightGradOp);

}  // namespace
}  // namespace monolith
