// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/ffm_rows.h"
#include "cc/kernels/layer_inputs.h"
#include "cc/layers/ffm.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

class FfmOpBase : public OpKernel {
 public:
  explicit FfmOpBase(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("dim_size", &dim_));
    OP_REQUIRES_OK(ctx, GetFfmKind(ctx, &kind_));
  }

 protected:
  // Checks both sides; `left` is the first of the two inputs.
  absl::Status ReadShape(OpKernelContext* ctx, int left, layers::FfmShape* shape) const {
    TF_RETURN_IF_ERROR(CheckSide(ctx, left, "left"));
    TF_RETURN_IF_ERROR(CheckSide(ctx, left + 1, "right"));
    const Tensor& l = ctx->input(left);
    const Tensor& r = ctx->input(left + 1);
    if (l.dim_size(0) != r.dim_size(0)) {
      return BadLayerInput(ctx, "left has ", l.dim_size(0), " rows and right ", r.dim_size(0),
                           "; pass the same examples on both sides.");
    }
    *shape = {l.dim_size(1) / dim_, r.dim_size(1) / dim_, dim_};
    return absl::OkStatus();
  }

  layers::FfmGroup<const float> Group(const Tensor& side, int64_t num_vectors) const {
    return layers::FfmMatrix(side.flat<float>().data(), num_vectors, dim_);
  }

  layers::FfmKind kind_;
  int64_t dim_;

 private:
  absl::Status CheckSide(OpKernelContext* ctx, int input, const char* name) const {
    TF_RETURN_IF_ERROR(CheckMatrix(ctx, input, name));
    const Tensor& side = ctx->input(input);
    if (side.dim_size(1) % dim_ == 0) return absl::OkStatus();
    return BadLayerInput(ctx, name, " has shape ", side.shape().DebugString(),
                         "; its width must be a multiple of dim_size, which is ", dim_, ".");
  }
};

class FfmOp : public FfmOpBase {
 public:
  using FfmOpBase::FfmOpBase;

  void Compute(OpKernelContext* ctx) override {
    layers::FfmShape shape;
    OP_REQUIRES_OK(ctx, ReadShape(ctx, 0, &shape));
    const int64_t batch = ctx->input(0).dim_size(0), width = shape.output_width(kind_);
    Tensor* output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({batch, width}), &output));
    const auto left = Group(ctx->input(0), shape.num_left), right = Group(ctx->input(1), shape.num_right);
    float* out = output->flat<float>().data();
    const auto work = [&](const layers::FfmRows& rows) { layers::Ffm(kind_, shape, rows, left, right, out); };
    OP_REQUIRES_OK(ctx, RunFfmRows(ctx, batch, shape, 1, work));
  }
};

class FfmGradOp : public FfmOpBase {
 public:
  using FfmOpBase::FfmOpBase;

  void Compute(OpKernelContext* ctx) override {
    layers::FfmShape shape;
    OP_REQUIRES_OK(ctx, ReadShape(ctx, 1, &shape));
    const int64_t batch = ctx->input(1).dim_size(0), width = shape.output_width(kind_);
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 0, "grad", batch, width));
    Tensor *left_output = nullptr, *right_output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(1).shape(), &left_output));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, ctx->input(2).shape(), &right_output));
    const float* grad = ctx->input(0).flat<float>().data();
    const auto left = Group(ctx->input(1), shape.num_left), right = Group(ctx->input(2), shape.num_right);
    const auto left_grad = layers::FfmMatrix(left_output->flat<float>().data(), shape.num_left, dim_);
    const auto right_grad = layers::FfmMatrix(right_output->flat<float>().data(), shape.num_right, dim_);
    const auto work = [&](const layers::FfmRows& rows) {
      layers::FfmGradient(kind_, shape, rows, grad, left, right, left_grad, right_grad);
    };
    OP_REQUIRES_OK(ctx, RunFfmRows(ctx, batch, shape, 2, work));
  }
};

REGISTER_KERNEL_BUILDER(Name("FFM").Device(::tensorflow::DEVICE_CPU), FfmOp);
REGISTER_KERNEL_BUILDER(Name("FFMGrad").Device(::tensorflow::DEVICE_CPU), FfmGradOp);

}  // namespace
}  // namespace monolith
