// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/layer_inputs.h"
#include "cc/kernels/partial_sums.h"
#include "cc/layers/column_scale.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

class ColumnScaleGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, CheckMatrix(ctx, 1, "x"));
    const int64_t rows = ctx->input(1).dim_size(0), width = ctx->input(1).dim_size(1);
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 0, "grad", rows, width));
    OP_REQUIRES(ctx, ctx->input(2).dims() == 1 && ctx->input(2).dim_size(0) == width,
                BadLayerInput(ctx, "scale has shape ", ctx->input(2).shape().DebugString(), "; it must be [", width,
                              "], a number a column."));
    const float* inputs[3];  // grad, x, scale
    for (int i = 0; i < 3; ++i) inputs[i] = ctx->input(i).flat<float>().data();
    Tensor *x_output = nullptr, *scale_output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(1).shape(), &x_output));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, ctx->input(2).shape(), &scale_output));
    float* x_grad = x_output->flat<float>().data();
    const int64_t num_chunks = layers::ColumnScaleChunks(rows, width);
    const auto work = [&](int64_t chunk, float* scale_grad) {
      layers::ColumnScaleGradient(chunk, rows, width, inputs[0], inputs[1], inputs[2], x_grad, scale_grad);
    };
    OP_REQUIRES_OK(ctx, RunPartialSums(ctx, num_chunks, CostOfProducts(rows / num_chunks + 1, 2 * width), width,
                                       scale_output->flat<float>().data(), work));
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithColumnScaleGrad").Device(::tensorflow::DEVICE_CPU), ColumnScaleGradOp);

}  // namespace
}  // namespace monolith
