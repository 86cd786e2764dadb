// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/layer_inputs.h"
#include "cc/kernels/partial_sums.h"
#include "cc/kernels/run_units.h"
#include "cc/layers/key_projection.h"
#include "cc/layers/small_matmul.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::DT_FLOAT;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kExamplesPerUnit = 16;

const float* Data(OpKernelContext* ctx, int input) { return ctx->input(input).flat<float>().data(); }

// Checks queries, keys and both kernels, which begin with input number `first`, and reads their sizes.
absl::Status ReadShape(OpKernelContext* ctx, int first, layers::KeyProjectionShape* shape, int64_t* batch) {
  TF_RETURN_IF_ERROR(CheckMatrix(ctx, first, "queries"));
  TF_RETURN_IF_ERROR(CheckMatrix(ctx, first + 2, "of_key"));
  const Tensor& keys = ctx->input(first + 1);
  *batch = ctx->input(first).dim_size(0);
  const int64_t width = ctx->input(first).dim_size(1), units = ctx->input(first + 2).dim_size(1);
  if (keys.dims() != 3 || keys.dim_size(0) != *batch || keys.dim_size(2) != width) {
    return BadLayerInput(ctx, "keys has shape ", keys.shape().DebugString(), "; it must be [", *batch,
                         ",keys of an example,", width, "].");
  }
  *shape = {keys.dim_size(1), width, units};
  TF_RETURN_IF_ERROR(CheckShape(ctx, first + 2, "of_key", width, units));
  return CheckShape(ctx, first + 3, "of_product", width, units);
}

class KeyProjectionOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    layers::KeyProjectionShape shape;
    int64_t batch;
    OP_REQUIRES_OK(ctx, ReadShape(ctx, 1, &shape, &batch));
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 0, "own", batch, shape.units));
    Tensor* output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({batch, shape.num_keys, shape.units}), &output));
    const float* own = Data(ctx, 0);
    const layers::KeyProjectionFactors all{Data(ctx, 1), Data(ctx, 2), Data(ctx, 3), Data(ctx, 4)};
    float* out = output->flat<float>().data();
    const int64_t cost = CostOfProducts(kExamplesPerUnit, (shape.num_keys + 1) * shape.kernel_size());
    OP_REQUIRES_OK(ctx, RunRanges(ctx, batch, kExamplesPerUnit, cost, [&](int64_t b, int64_t end) {
                     layers::KeyProjectionFactors some = all;
                     some.queries += b * shape.width;
                     some.keys += b * shape.num_keys * shape.width;
                     layers::ProjectKeys(shape, end - b, some, own + b * shape.units,
                                         out + b * shape.num_keys * shape.units);
                   }));
  }
};

class KeyProjectionGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    layers::KeyProjectionShape shape;
    int64_t batch;
    OP_REQUIRES_OK(ctx, ReadShape(ctx, 1, &shape, &batch));
    const Tensor& grad = ctx->input(0);
    const TensorShape expected({batch, shape.num_keys, shape.units});
    OP_REQUIRES(ctx, grad.shape() == expected,
                BadLayerInput(ctx, "grad has shape ", grad.shape().DebugString(), "; it must be ",
                              expected.DebugString(), "."));
    Tensor* outputs[5];  // of own, queries, keys and both kernels
    for (int i = 0; i < 5; ++i) {
      const TensorShape& like = i == 0 ? TensorShape({batch, shape.units}) : ctx->input(i).shape();
      OP_REQUIRES_OK(ctx, ctx->allocate_output(i, like, &outputs[i]));
    }
    OP_REQUIRES_OK(ctx, Run(ctx, shape, batch, outputs));
  }

 private:
  static absl::Status Run(OpKernelContext* ctx, const layers::KeyProjectionShape& shape, int64_t batch,
                          Tensor* const outputs[5]) {
    const int64_t size = shape.kernel_size();
    Tensor kernels, kernel_grads;  // [2, U, H]
    TF_RETURN_IF_ERROR(ctx->allocate_temp(DT_FLOAT, TensorShape({2 * size}), &kernels));
    TF_RETURN_IF_ERROR(ctx->allocate_temp(DT_FLOAT, TensorShape({2 * size}), &kernel_grads));
    float* turned = kernels.flat<float>().data();
    float* total = kernel_grads.flat<float>().data();
    for (int i = 0; i < 2; ++i) {
      layers::Transpose(Data(ctx, 3 + i), shape.width, shape.units, turned + i * size, shape.width);
    }
    const layers::KeyProjectionFactors factors{Data(ctx, 1), Data(ctx, 2), turned, turned + size};
    float* grads[5];
    for (int i = 0; i < 5; ++i) grads[i] = outputs[i]->flat<float>().data();
    const int64_t num_chunks = shape.num_chunks(batch);
    const int64_t cost = CostOfProducts(batch / num_chunks + 1, 2 * (shape.num_keys + 1) * size);
    TF_RETURN_IF_ERROR(RunPartialSums(ctx, num_chunks, cost, 2 * size, total, [&](int64_t chunk, float* partial) {
      layers::ProjectKeysGradient(shape, chunk, batch, Data(ctx, 0), factors, {grads[0], grads[1], grads[2]}, partial);
    }));
    for (int i = 0; i < 2; ++i) {
      layers::Transpose(total + i * size, shape.units, shape.width, grads[3 + i], shape.units);
    }
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithKeyProjection").Device(::tensorflow::DEVICE_CPU), KeyProjectionOp);
REGISTER_KERNEL_BUILDER(Name("MonolithKeyProjectionGrad").Device(::tensorflow::DEVICE_CPU), KeyProjectionGradOp);

}  // namespace
}  // namespace monolith
