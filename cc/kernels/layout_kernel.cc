// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/distribution/layout.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using distribution::LayoutConfig;
using distribution::LayoutInputs;
using distribution::LayoutTensor;
using ::tensorflow::OpInputList;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::OpOutputList;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kRowsPerUnit = 256;
constexpr int64_t kRowsPerSum = 1024;
constexpr int64_t kCostPerFloat = 2;  // ns

// Reads the configuration and the inputs that both directions have.
class LayoutOp : public OpKernel {
 public:
  explicit LayoutOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::string feature_cfgs;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("feature_cfgs", &feature_cfgs));
    OP_REQUIRES_OK(ctx, ToStatus([&] { config_ = distribution::ParseLayoutConfig(feature_cfgs); }));
  }

  void Compute(OpKernelContext* ctx) override {
    LayoutInputs inputs;
    OP_REQUIRES_OK(ctx, Read(ctx, &inputs));
    OP_REQUIRES_OK(ctx, ToStatus([&] { Check(inputs); }));
    OP_REQUIRES_OK(ctx, Run(ctx, inputs));
  }

 protected:
  virtual void Check(const LayoutInputs& inputs) const { distribution::CheckLayoutInputs(config_, inputs); }
  virtual absl::Status ReadEmbeddings(OpKernelContext* ctx, LayoutInputs* inputs) const {
    OpInputList embeddings;
    TF_RETURN_IF_ERROR(ctx->input_list("embeddings_list", &embeddings));
    for (const Tensor& list : embeddings) {
      inputs->embeddings.emplace_back(list.flat<float>().data(), list.NumElements());
    }
    return absl::OkStatus();
  }
  virtual absl::Status Run(OpKernelContext* ctx, const LayoutInputs& inputs) = 0;

  // Gradients of the tensors, and what it takes to go through them.
  absl::Status ReadGradients(OpKernelContext* ctx, int64_t batch, std::vector<const float*>* gradients,
                             int64_t* cost) const {
    OpInputList inputs;
    TF_RETURN_IF_ERROR(ctx->input_list("tensors_grad", &inputs));
    if (static_cast<size_t>(inputs.size()) != config_.tensors.size()) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", inputs.size(), " gradients for ",
                                                     config_.tensors.size(), " tensors of the layouts."));
    }
    for (int t = 0; t < inputs.size(); ++t) {
      const TensorShape expected = ShapeOf(config_.tensors[t], batch);
      if (inputs[t].shape() != expected) {
        return absl::InvalidArgumentError(absl::StrCat(type_string(), ": tensors_grad[", t, "] has shape ",
                                                       inputs[t].shape().DebugString(), ", but the tensor has ",
                                                       expected.DebugString(), "."));
      }
      gradients->push_back(inputs[t].flat<float>().data());
      *cost += inputs[t].NumElements() * kCostPerFloat;
    }
    return absl::OkStatus();
  }

  static TensorShape ShapeOf(const LayoutTensor& tensor, int64_t batch) {
    TensorShape shape;
    for (const int64_t size : tensor.shape(batch)) shape.AddDim(size);
    return shape;
  }

  LayoutConfig config_;

 private:
  template <typename T>
  static absl::Status ReadVector(OpKernelContext* ctx, const char* name, distribution::Span<const T>* values) {
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(ctx->input(name, &tensor));
    if (tensor->dims() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string(), ": ", name, " has shape ",
                                                     tensor->shape().DebugString(), "; it must be a vector."));
    }
    *values = {tensor->flat<T>().data(), tensor->NumElements()};
    return absl::OkStatus();
  }

  absl::Status Read(OpKernelContext* ctx, LayoutInputs* inputs) const {
    TF_RETURN_IF_ERROR(ReadEmbeddings(ctx, inputs));
    TF_RETURN_IF_ERROR(ReadVector(ctx, "fid_offset", &inputs->fid_offset));
    TF_RETURN_IF_ERROR(ReadVector(ctx, "feature_offset", &inputs->feature_offset));
    TF_RETURN_IF_ERROR(ReadVector(ctx, "nfl_offset", &inputs->nfl_offset));
    const Tensor* batch;
    TF_RETURN_IF_ERROR(ctx->input("batch_size", &batch));
    if (batch->NumElements() != 1 || batch->flat<int32_t>()(0) < 0) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": batch_size is ", batch->SummarizeValue(4),
                                                     "; pass one number, that of the rows of one request."));
    }
    inputs->batch = batch->flat<int32_t>()(0);
    return absl::OkStatus();
  }
};

class EmbeddingToLayoutOp : public LayoutOp {
 public:
  explicit EmbeddingToLayoutOp(OpKernelConstruction* ctx) : LayoutOp(ctx) {
    int num_out;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_out", &num_out));
    OP_REQUIRES(ctx, static_cast<size_t>(num_out) == config_.tensors.size(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": num_out is ", num_out,
                                                        ", but the layouts have ", config_.tensors.size(),
                                                        " tensors; a layout of NONE has one a slice.")));
  }

 private:
  absl::Status Run(OpKernelContext* ctx, const LayoutInputs& inputs) override {
    OpOutputList outputs;
    TF_RETURN_IF_ERROR(ctx->output_list("layout_tensors", &outputs));
    std::vector<float*> floats;
    int64_t cost = 1;
    for (size_t t = 0; t < config_.tensors.size(); ++t) {
      Tensor* output;
      TF_RETURN_IF_ERROR(outputs.allocate(static_cast<int>(t), ShapeOf(config_.tensors[t], inputs.batch), &output));
      floats.push_back(output->flat<float>().data());
      cost += output->NumElements() * kCostPerFloat;
    }
    const int64_t chunks = (inputs.batch + kRowsPerUnit - 1) / kRowsPerUnit;
    const auto units = static_cast<int64_t>(floats.size()) * chunks;
    if (units == 0) return absl::OkStatus();
    return RunUnits(ctx, units, std::max<int64_t>(1, cost / units), [&](int64_t unit) {
      const auto t = static_cast<size_t>(unit / chunks);
      const int64_t first = unit % chunks * kRowsPerUnit;
      distribution::FillLayout(config_, config_.tensors[t], inputs, first, std::min(first + kRowsPerUnit, inputs.batch),
                               floats[t]);
    });
  }
};

class EmbeddingToLayoutGradOp : public LayoutOp {
 public:
  using LayoutOp::LayoutOp;

 private:
  absl::Status Run(OpKernelContext* ctx, const LayoutInputs& inputs) override {
    std::vector<const float*> tensor_gradients;
    int64_t cost = 1;
    TF_RETURN_IF_ERROR(ReadGradients(ctx, inputs.batch, &tensor_gradients, &cost));
    OpInputList embeddings;
    OpOutputList outputs;
    TF_RETURN_IF_ERROR(ctx->input_list("embeddings_list", &embeddings));
    TF_RETURN_IF_ERROR(ctx->output_list("embeddings_grad_list", &outputs));
    std::vector<float*> gradients;
    for (int i = 0; i < embeddings.size(); ++i) {
      Tensor* output;
      TF_RETURN_IF_ERROR(outputs.allocate(i, embeddings[i].shape(), &output));
      std::fill_n(output->flat<float>().data(), output->NumElements(), 0.0f);
      gradients.push_back(output->flat<float>().data());
    }
    const auto units = static_cast<int64_t>(config_.features.size());
    if (units == 0) return absl::OkStatus();
    return RunUnits(ctx, units, std::max<int64_t>(1, cost / units), [&](int64_t feature) {
      distribution::AddLayoutGradients(config_, static_cast<int>(feature), inputs, tensor_gradients, 1.0f, gradients);
    });
  }
};

class LayoutGradientNormOp : public LayoutOp {
 public:
  using LayoutOp::LayoutOp;

 private:
  void Check(const LayoutInputs& inputs) const override { distribution::CheckLayoutRows(config_, inputs); }
  absl::Status ReadEmbeddings(OpKernelContext*, LayoutInputs*) const override { return absl::OkStatus(); }

  absl::Status Run(OpKernelContext* ctx, const LayoutInputs& inputs) override {
    std::vector<const float*> tensor_gradients;
    int64_t cost = 1;
    TF_RETURN_IF_ERROR(ReadGradients(ctx, inputs.batch, &tensor_gradients, &cost));
    Tensor* norm;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, TensorShape({}), &norm));
    // Sums of so many rows each: they must not depend on the number of threads.
    const int64_t chunks = (inputs.batch + kRowsPerSum - 1) / kRowsPerSum;
    std::vector<double> sums(chunks * config_.features.size());
    const auto units = static_cast<int64_t>(sums.size());
    const absl::Status status = RunUnits(ctx, units, cost / std::max<int64_t>(1, units), [&](int64_t unit) {
      const int64_t first = unit % chunks * kRowsPerSum;
      sums[unit] =
          distribution::LayoutGradientSquares(config_, static_cast<int>(unit / chunks), inputs, tensor_gradients, first,
                                              std::min(first + kRowsPerSum, inputs.batch));
    });
    norm->scalar<float>()() = static_cast<float>(std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0)));
    return status;
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithEmbeddingToLayoutV3").Device(::tensorflow::DEVICE_CPU), EmbeddingToLayoutOp);
REGISTER_KERNEL_BUILDER(Name("MonolithEmbeddingToLayoutV5").Device(::tensorflow::DEVICE_CPU), EmbeddingToLayoutOp);
REGISTER_KERNEL_BUILDER(Name("MonolithEmbeddingToLayoutGradV3").Device(::tensorflow::DEVICE_CPU),
                        EmbeddingToLayoutGradOp);
REGISTER_KERNEL_BUILDER(Name("MonolithLayoutGradientNorm").Device(::tensorflow::DEVICE_CPU), LayoutGradientNormOp);

}  // namespace
}  // namespace monolith
