// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/layer_inputs.h"
#include "cc/kernels/partial_sums.h"
#include "cc/kernels/run_units.h"
#include "cc/layers/interaction.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kRowsPerUnit = 128;

// Reads the sizes and checks x, x0 and kernel against them; x is input number `first`.
absl::Status ReadShape(OpKernelContext* ctx, int first, layers::InteractionShape* shape, int64_t* num_rows) {
  TF_RETURN_IF_ERROR(CheckMatrix(ctx, first, "x"));
  TF_RETURN_IF_ERROR(CheckMatrix(ctx, first + 1, "x0"));
  TF_RETURN_IF_ERROR(CheckMatrix(ctx, first + 2, "kernel"));
  const Tensor& x = ctx->input(first);
  const Tensor& x0 = ctx->input(first + 1);
  *shape = {x.dim_size(1), x0.dim_size(1), ctx->input(first + 2).dim_size(1)};
  *num_rows = x.dim_size(0);
  TF_RETURN_IF_ERROR(CheckShape(ctx, first + 1, "x0", *num_rows, shape->num_x0));
  return CheckShape(ctx, first + 2, "kernel", shape->num_pairs(), shape->units);
}

class InteractOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    layers::InteractionShape shape;
    int64_t num_rows;
    OP_REQUIRES_OK(ctx, ReadShape(ctx, 0, &shape, &num_rows));
    Tensor* output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({num_rows, shape.units}), &output));
    const float* x = ctx->input(0).flat<float>().data();
    const float* x0 = ctx->input(1).flat<float>().data();
    const float* kernel = ctx->input(2).flat<float>().data();
    float* out = output->flat<float>().data();
    const int64_t cost = CostOfProducts(kRowsPerUnit, shape.kernel_size() + shape.num_pairs());
    OP_REQUIRES_OK(ctx, RunRanges(ctx, num_rows, kRowsPerUnit, cost, [&](int64_t row, int64_t end) {
                     layers::Interact(shape, end - row, x + row * shape.num_x, x0 + row * shape.num_x0, kernel,
                                      out + row * shape.units);
                   }));
  }
};

class InteractGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    layers::InteractionShape shape;
    int64_t num_rows;
    OP_REQUIRES_OK(ctx, ReadShape(ctx, 1, &shape, &num_rows));
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 0, "grad", num_rows, shape.units));
    const float* inputs[4];  // grad, x, x0, kernel
    for (int i = 0; i < 4; ++i) inputs[i] = ctx->input(i).flat<float>().data();
    float* outputs[3];  // of x, x0, kernel
    for (int i = 0; i < 3; ++i) {
      Tensor* output = nullptr;
      OP_REQUIRES_OK(ctx, ctx->allocate_output(i, ctx->input(i + 1).shape(), &output));
      outputs[i] = output->flat<float>().data();
    }
    const int64_t num_chunks = shape.num_chunks(num_rows);
    const int64_t cost = CostOfProducts(num_rows / num_chunks + 1, 2 * shape.kernel_size());
    const auto work = [&](int64_t chunk, float* kernel_grad) {
      layers::InteractGradient(shape, chunk, num_rows, inputs[0], inputs[1], inputs[2], inputs[3], outputs[0],
                               outputs[1], kernel_grad);
    };
    OP_REQUIRES_OK(ctx, RunPartialSums(ctx, num_chunks, cost, shape.kernel_size(), outputs[2], work));
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithInteract").Device(::tensorflow::DEVICE_CPU), InteractOp);
REGISTER_KERNEL_BUILDER(Name("MonolithInteractGrad").Device(::tensorflow::DEVICE_CPU), InteractGradOp);

}  // namespace
}  // namespace monolith
