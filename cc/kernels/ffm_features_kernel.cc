// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <vector>

#include "cc/kernels/ffm_rows.h"
#include "cc/kernels/layer_inputs.h"
#include "cc/layers/feature_rows.h"
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
    std::vector<const float*> left, right;
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
    TF_RETURN_IF_ERROR(ReadSide(ctx, "left", &features->left));
    TF_RETURN_IF_ERROR(ReadSide(ctx, "right", &features->right));
    features->shape = {static_cast<int64_t>(features->left.size()), static_cast<int64_t>(features->right.size()),
                       features->each.dim_size(1)};
    return absl::OkStatus();
  }

  // Room for the joined rows that one task works on.
  struct JoinedRows {
    explicit JoinedRows(const layers::FfmShape& shape)
        : left(new float[kFfmRowsPerUnit * shape.left_width()]),
          right(new float[kFfmRowsPerUnit * shape.right_width()]) {}
    JoinedRows(const Features& features, int64_t row, int64_t rows) : JoinedRows(features.shape) {
      layers::JoinRows(features.left, features.shape.dim, row, rows, left.get());
      layers::JoinRows(features.right, features.shape.dim, row, rows, right.get());
    }

    std::unique_ptr<float[]> left, right;
  };

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
    OP_REQUIRES_OK(ctx, RunFfmRows(ctx, features.batch(), features.shape, 1, [&](int64_t row, int64_t rows) {
                     const JoinedRows joined(features, row, rows);
                     layers::Ffm(kind_, features.shape, rows, joined.left.get(), joined.right.get(), out + row * width);
                   }));
  }
};

class FfmOfFeaturesGradOp : public FfmOfFeaturesOpBase {
 public:
  using FfmOfFeaturesOpBase::FfmOfFeaturesOpBase;

  void Compute(OpKernelContext* ctx) override {
    Features features;
    OP_REQUIRES_OK(ctx, ReadFeatures(ctx, 1, &features));
    const int64_t width = features.shape.output_width(kind_);
    OP_REQUIRES_OK(ctx, CheckShape(ctx, 0, "grad", features.batch(), width));
    std::vector<float*> left, right;
    OP_REQUIRES_OK(ctx, AllocateSide(ctx, "left_grads", features.each, &left));
    OP_REQUIRES_OK(ctx, AllocateSide(ctx, "right_grads", features.each, &right));
    const float* grad = ctx->input(0).flat<float>().data();
    OP_REQUIRES_OK(ctx, RunFfmRows(ctx, features.batch(), features.shape, 2, [&](int64_t row, int64_t rows) {
                     const JoinedRows joined(features, row, rows);
                     JoinedRows grads(features.shape);
                     layers::FfmGradient(kind_, features.shape, rows, grad + row * width, joined.left.get(),
                                         joined.right.get(), grads.left.get(), grads.right.get());
                     layers::SplitRows(grads.left.get(), features.shape.dim, row, rows, left);
                     layers::SplitRows(grads.right.get(), features.shape.dim, row, rows, right);
                   }));
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
