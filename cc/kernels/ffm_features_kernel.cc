// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "cc/kernels/ffm_rows.h"
#include "cc/kernels/layer_inputs.h"
#include "cc/layers/ffm.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpInputList;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::OpOutputList;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

class FfmOfFeaturesOpBase : public OpKernel {
 public:
  explicit FfmOfFeaturesOpBase(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, GetFfmKind(ctx, &kind_));
  }

 protected:
  struct Features {
    layers::FfmGroup<const float> left, right;
    TensorShape each;
    layers::FfmShape shape;

    int64_t batch() const { return each.dim_size(0); }
  };

  // Checks the features of both sides; the first is input number `first`.
  static absl::Status ReadFeatures(OpKernelContext* ctx, int first, Features* features) {
    TF_RETURN_IF_ERROR(CheckMatrix(ctx, first, "the first feature"));
    features->each = ctx->input(first).shape();
    for (int i = first; i < ctx->num_inputs(); ++i) {
      if (ctx->input(i).shape() == features->each) continue;
      return BadLayerInput(ctx, "feature ", i - first, " of left and right has shape ",
                           ctx->input(i).shape().DebugString(), ", but feature 0 ", features->each.DebugString(),
                           "; all must be of one shape.");
    }
    const int64_t dim = features->each.dim_size(1);
    features->left.stride = features->right.stride = dim;
    TF_RETURN_IF_ERROR(ReadSide(ctx, "left", &features->left.vectors));
    TF_RETURN_IF_ERROR(ReadSide(ctx, "right", &features->right.vectors));
    features->shape = {static_cast<int64_t>(features->left.vectors.size()),
                       static_cast<int64_t>(features->right.vectors.size()), dim};
    return absl::OkStatus();
  }

  layers::FfmKind kind_;

 private:
  static absl::Status ReadSide(OpKernelContext* ctx, const char* name, std::vector<const float*>* side) {
    OpInputList inputs;
    TF_RETURN_IF_ERROR(ctx->input_list(name, &inputs));
    for (const Tensor& input : inputs) side->push_back(input.flat<float>().data());
    return absl::OkStatus();
  }
};

class FfmOfFeaturesOp : public FfmOfFeaturesOpBase {
 public:
  using FfmOfFeaturesOpBase::FfmOfFeaturesOpBase;

  void Compute(OpKernelContext* ctx) override {
    Features features;
    OP_REQUIRES_OK(ctx, ReadFeatures(ctx, 0, &features));
    const int64_t width = features.shape.output_width(kind_);
    Tensor* output = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({features.batch(), width}), &output));
    float* out = output->flat<float>().data();
    const auto work = [&](const layers::FfmRows& rows) {
      layers::Ffm(kind_, features.shape, rows, features.left, features.right, out);
    };
    OP_REQUIRES_OK(ctx, RunFfmRows(ctx, features.batch(), features.shape, 1, work));
  }
};

class FfmOfFeaturesGradOp : public FfmOfFeaturesOpBase {
 public:
  using FfmOfFeaturesOpBase::FfmOfFeaturesOpBase;

  void Compute(OpKernelContext* ctx) override {
    Features features;
    OP_REQUIRES_OK(ctx, ReadFeatures(ctx, 1, &features));
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 0, "grad", features.batch(), features.shape.output_width(kind_)));
    layers::FfmGroup<float> left{{}, features.shape.dim}, right = left;
    OP_REQUIRES_OK(ctx, AllocateSide(ctx, "left_grads", features.each, &left.vectors));
    OP_REQUIRES_OK(ctx, AllocateSide(ctx, "right_grads", features.each, &right.vectors));
    const float* grad = ctx->input(0).flat<float>().data();
    const auto work = [&](const layers::FfmRows& rows) {
      layers::FfmGradient(kind_, features.shape, rows, grad, features.left, features.right, left, right);
    };
    OP_REQUIRES_OK(ctx, RunFfmRows(ctx, features.batch(), features.shape, 2, work));
  }

 private:
  static absl::Status AllocateSide(OpKernelContext* ctx, const char* name, const TensorShape& each,
                                   std::vector<float*>* side) {
    OpOutputList outputs;
    TF_RETURN_IF_ERROR(ctx->output_list(name, &outputs));
    for (int i = 0; i < outputs.size(); ++i) {
      Tensor* output = nullptr;
      TF_RETURN_IF_ERROR(outputs.allocate(i, each, &output));
      side->push_back(output->flat<float>().data());
    }
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithFfmOfFeatures").Device(::tensorflow::DEVICE_CPU), FfmOfFeaturesOp);
REGISTER_KERNEL_BUILDER(Name("MonolithFfmOfFeaturesGrad").Device(::tensorflow::DEVICE_CPU), FfmOfFeaturesGradOp);

}  // namespace
}  // namespace monolith
