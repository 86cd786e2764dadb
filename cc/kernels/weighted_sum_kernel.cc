// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/layer_inputs.h"
#include "cc/kernels/partial_sums.h"
#include "cc/kernels/run_units.h"
#include "cc/layers/weighted_sum.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kRowsPerUnit = 32;

// Checks weights and values, which begin with input number `first`, and reads their sizes.
absl::Status ReadShape(OpKernelContext* ctx, int first, layers::WeightedSumShape* shape) {
  TF_RETURN_IF_ERROR(CheckMatrix(ctx, first, "weights"));
  const TensorShape& weights = ctx->input(first).shape();
  const TensorShape& values = ctx->input(first + 1).shape();
  if (values.dims() != 3 || values.dim_size(0) != weights.dim_size(0) || values.dim_size(1) != weights.dim_size(1)) {
    return BadLayerInput(ctx, "values has shape ", values.DebugString(), " and weights ", weights.DebugString(),
                         "; pass a vector for each weight.");
  }
  *shape = {values.dim_size(0), values.dim_size(1), values.dim_size(2)};
  return absl::OkStatus();
}

// Runs work(first row, sizes of some rows) over all rows.
template <typename Work>
absl::Status RunRows(OpKernelContext* ctx, const layers::WeightedSumShape& shape, const Work& work) {
  const int64_t cost = CostOfProducts(kRowsPerUnit, 2 * (shape.count + 1) * shape.width);
  return RunRanges(ctx, shape.num_rows, kRowsPerUnit, cost, [&](int64_t begin, int64_t end) {
    work(begin, layers::WeightedSumShape{end - begin, shape.count, shape.width});
  });
}

class WeightedSumOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    layers::WeightedSumShape shape;
    OP_REQUIRES_OK(ctx, ReadShape(ctx, 0, &shape));
    Tensor* output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({shape.num_rows, shape.width}), &output));
    const float* weights = ctx->input(0).flat<float>().data();
    const float* values = ctx->input(1).flat<float>().data();
    float* out = output->flat<float>().data();
    OP_REQUIRES_OK(ctx, RunRows(ctx, shape, [&](int64_t row, const layers::WeightedSumShape& some) {
                     layers::WeightedSum(some, weights + row * shape.count, values + row * shape.count * shape.width,
                                         out + row * shape.width);
                   }));
  }
};

class WeightedSumGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    layers::WeightedSumShape shape;
    OP_REQUIRES_OK(ctx, ReadShape(ctx, 1, &shape));
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 0, "grad", shape.num_rows, shape.width));
    Tensor *weights_output = nullptr, *values_output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(1).shape(), &weights_output));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, ctx->input(2).shape(), &values_output));
    const float* grad = ctx->input(0).flat<float>().data();
    const float* weights = ctx->input(1).flat<float>().data();
    const float* values = ctx->input(2).flat<float>().data();
    float* weights_grad = weights_output->flat<float>().data();
    float* values_grad = values_output->flat<float>().data();
    OP_REQUIRES_OK(ctx, RunRows(ctx, shape, [&](int64_t row, const layers::WeightedSumShape& some) {
                     const int64_t at = row * shape.count;
                     layers::WeightedSumGradient(some, grad + row * shape.width, weights + at,
                                                 values + at * shape.width, weights_grad + at,
                                                 values_grad + at * shape.width);
                   }));
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithWeightedSum").Device(::tensorflow::DEVICE_CPU), WeightedSumOp);
REGISTER_KERNEL_BUILDER(Name("MonolithWeightedSumGrad").Device(::tensorflow::DEVICE_CPU), WeightedSumGradOp);

}  // namespace
}  // namespace monolith
