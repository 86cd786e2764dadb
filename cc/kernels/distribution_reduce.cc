// SPDX-License-Identifier: Apache-2.0
// Kernels that pool the vectors of an example's fids, with their gradients; gradient clipping.
#include <cmath>
#include <vector>

#include "cc/distribution/reduce.h"
#include "cc/kernels/distribution_util.h"

namespace tensorflow::monolith_kernels {
namespace {

using dist::Reduction;

constexpr char kRowRemedy[] = "it is an example of the batch";

dist::Error CheckRows(const Tensor& rows, int64_t num_vectors, int64_t batch) {
  if (rows.NumElements() != num_vectors) {
    return "id_indices holds " + std::to_string(rows.NumElements()) + " examples for " + std::to_string(num_vectors) +
           " vectors; give one an id";
  }
  return dist::CheckIndices("id_indices", AsSpan<int64_t>(rows), batch, kRowRemedy);
}

// Reads the number of examples out of id_dense_shape, and checks the other two inputs against it.
dist::Error CheckPooling(OpKernelContext* ctx, int64_t* batch) {
  const Tensor& shape = ctx->input(2);
  if (shape.NumElements() != 1) {
    return "id_dense_shape has shape " + shape.shape().DebugString() + " but is one number";
  }
  *batch = shape.flat<int64_t>()(0);
  if (*batch < 0) return "id_dense_shape is " + std::to_string(*batch) + "; a batch has no less than 0 examples";
  if (dist::Error error = CheckRank("id_values", ctx->input(1), 2)) return error;
  return CheckRows(ctx->input(0), ctx->input(1).dim_size(0), *batch);
}

template <Reduction reduction>
class ReduceOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    int64_t batch = 0;
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckPooling(ctx, &batch));
    const Tensor& values = ctx->input(1);
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({batch, values.dim_size(1)}), &out));
    dist::ReduceRows(reduction, AsSpan<int64_t>(ctx->input(0)), values.flat<float>().data(), values.dim_size(1), batch,
                     out->flat<float>().data());
  }
};

template <Reduction reduction>
class ReduceGradientOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const Tensor& rows = ctx->input(0);
    const Tensor& grads = ctx->input(num_inputs() - 1);
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckRank("grads", grads, 2));
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckRows(rows, rows.NumElements(), grads.dim_size(0)));
    const TensorShape shape({rows.NumElements(), grads.dim_size(1)});
    const bool with_values = reduction == Reduction::kSquareNorm;
    OP_REQUIRES(ctx, !with_values || ctx->input(1).shape() == shape,
                BadInput(type_string(), ": id_values has shape ", ctx->input(1).shape().DebugString(),
                         " but must have ", shape.DebugString(), "."));
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, shape, &out));
    dist::ReduceRowsGradient(reduction, AsSpan<int64_t>(rows),
                             with_values ? ctx->input(1).flat<float>().data() : nullptr, grads.flat<float>().data(),
                             grads.dim_size(1), grads.dim_size(0), out->flat<float>().data());
  }
};

int64_t Sum(const std::vector<int64_t>& values) {
  int64_t sum = 0;
  for (int64_t value : values) sum += value;
  return sum;
}

class FusedReduceSumAndSplitOp : public OpKernel {
 public:
  explicit FusedReduceSumAndSplitOp(OpKernelConstruction* ctx) : OpKernel(ctx), dims_(ReadInts(ctx, "split_dims")) {}

  void Compute(OpKernelContext* ctx) override {
    int64_t batch = 0;
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckPooling(ctx, &batch));
    const Tensor& values = ctx->input(1);
    OP_REQUIRES(ctx, values.dim_size(1) == Sum(dims_),
                BadInput(type_string(), ": id_values has width ", values.dim_size(1), " but split_dims add up to ",
                         Sum(dims_), "."));
    std::vector<float*> outputs(dims_.size());
    for (size_t i = 0; i < dims_.size(); ++i) {
      Tensor* out = nullptr;
      OP_REQUIRES_OK(ctx, ctx->allocate_output(i, TensorShape({batch, dims_[i]}), &out));
      outputs[i] = out->flat<float>().data();
    }
    dist::SumAndSplit(AsSpan<int64_t>(ctx->input(0)), values.flat<float>().data(), dims_, batch, outputs);
  }

 private:
  const std::vector<int64_t> dims_;
};

class FusedReduceSumAndSplitGradientOp : public OpKernel {
 public:
  explicit FusedReduceSumAndSplitGradientOp(OpKernelConstruction* ctx)
      : OpKernel(ctx), dims_(ReadInts(ctx, "split_dims")) {
    OP_REQUIRES(ctx, static_cast<int>(dims_.size()) == num_inputs() - 1,
                BadInput(type_string(), ": split_dims and M differ."));
  }

  void Compute(OpKernelContext* ctx) override {
    const Tensor& rows = ctx->input(0);
    const int64_t batch = ctx->input(1).dims() ? ctx->input(1).dim_size(0) : 0;
    std::vector<const float*> grads(dims_.size());
    for (size_t i = 0; i < dims_.size(); ++i) {
      const Tensor& grad = ctx->input(1 + i);
      OP_REQUIRES(ctx, grad.shape() == TensorShape({batch, dims_[i]}),
                  BadInput(type_string(), ": grads[", i, "] has shape ", grad.shape().DebugString(), " but must have [",
                           batch, ",", dims_[i], "]."));
      grads[i] = grad.flat<float>().data();
    }
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckRows(rows, rows.NumElements(), batch));
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({rows.NumElements(), Sum(dims_)}), &out));
    dist::SumAndSplitGradient(AsSpan<int64_t>(rows), grads, dims_, out->flat<float>().data());
  }

 private:
  const std::vector<int64_t> dims_;
};

class ClipByGlobalNormOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const int n = num_outputs();
    for (int i = n; i < n + 2; ++i) {
      OP_REQUIRES(ctx, TensorShapeUtils::IsScalar(ctx->input(i).shape()),
                  BadInput(type_string(), ": ", i == n ? "global_norm" : "clip_norm", " has shape ",
                           ctx->input(i).shape().DebugString(), " but must be a scalar."));
    }
    const float norm = ctx->input(n).scalar<float>()();
    const float limit = ctx->input(n + 1).scalar<float>()();
    OP_REQUIRES(ctx, limit >= 0, BadInput(type_string(), ": clip_norm is ", limit, "; a limit is not negative."));
    // What is not finite must show in every result, as in tf.clip_by_global_norm.
    const float scale = std::isfinite(norm) ? limit / norm : std::nanf("");
    for (int i = 0; i < n; ++i) {
      const Tensor& grad = ctx->input(i);
      if (norm <= limit) {
        ctx->set_output(i, grad);
        continue;
      }
      Tensor* out = nullptr;
      OP_REQUIRES_OK(ctx, ctx->allocate_output(i, grad.shape(), &out));
      out->flat<float>() = grad.flat<float>() * scale;
    }
  }
};

#define REGISTER_REDUCE(NAME, REDUCTION)                                       \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU), ReduceOp<REDUCTION>); \
  REGISTER_KERNEL_BUILDER(Name(NAME "Gradient").Device(DEVICE_CPU), ReduceGradientOp<REDUCTION>);

REGISTER_REDUCE("MonolithReduceSum", Reduction::kSum)
REGISTER_REDUCE("MonolithReduceMean", Reduction::kMean)
REGISTER_REDUCE("MonolithReduceSquareNorm", Reduction::kSquareNorm)
#undef REGISTER_REDUCE

REGISTER_KERNEL_BUILDER(Name("MonolithFusedReduceSumAndSplit").Device(DEVICE_CPU), FusedReduceSumAndSplitOp);
REGISTER_KERNEL_BUILDER(Name("MonolithFusedReduceSumAndSplitGradient").Device(DEVICE_CPU),
                        FusedReduceSumAndSplitGradientOp);
REGISTER_KERNEL_BUILDER(Name("MonolithClipByGlobalNorm").Device(DEVICE_CPU), ClipByGlobalNormOp);

}  // namespace
}  // namespace tensorflow::monolith_kernels
