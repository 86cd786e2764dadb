// SPDX-License-Identifier: Apache-2.0
// Kernels that deal ids out to shards, and those that read row splits.
#include <algorithm>
#include <vector>

#include "cc/distribution/split.h"
#include "cc/kernels/distribution_util.h"

namespace tensorflow::monolith_kernels {
namespace {

constexpr char kSplitRemedy[] = "it is compared with num_splits";

int64_t RowBytes(const Tensor& t) {
  int64_t elements = 1;
  for (int d = 1; d < t.dims(); ++d) elements *= t.dim_size(d);
  return elements * DataTypeSize(t.dtype());
}

TensorShape WithRows(const TensorShape& shape, int64_t rows) {
  TensorShape out = shape;
  out.set_dim(0, rows);
  return out;
}

dist::Error CheckSplitInputs(const Tensor& indices, const Tensor& input, int num_splits) {
  if (dist::Error error = CheckRank("indices", indices, 1)) return error;
  if (input.dims() < 1 || input.dim_size(0) != indices.dim_size(0)) {
    return "input has shape " + input.shape().DebugString() + " but there are " + std::to_string(indices.dim_size(0)) +
           " indices; give one index a row";
  }
  return dist::CheckIndices("indices", AsSpan<int64_t>(indices), num_splits, kSplitRemedy);
}

class SplitByIndicesOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const Tensor& indices = ctx->input(0);
    const Tensor& input = ctx->input(1);
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckSplitInputs(indices, input, num_outputs()));
    const auto counts = dist::CountSplits(AsSpan<int64_t>(indices), num_outputs());
    std::vector<char*> outputs(num_outputs());
    for (int i = 0; i < num_outputs(); ++i) {
      Tensor* out = nullptr;
      OP_REQUIRES_OK(ctx, ctx->allocate_output(i, WithRows(input.shape(), counts[i]), &out));
      outputs[i] = static_cast<char*>(out->data());
    }
    dist::SplitRows(AsSpan<int64_t>(indices), static_cast<const char*>(input.data()), RowBytes(input),
                    std::move(outputs));
  }
};

class SplitByIndicesGradientOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const Tensor& indices = ctx->input(0);
    const Tensor& input = ctx->input(1);
    const int num_splits = num_inputs() - 2;
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckSplitInputs(indices, input, num_splits));
    const auto counts = dist::CountSplits(AsSpan<int64_t>(indices), num_splits);
    std::vector<const char*> grads(num_splits);
    for (int i = 0; i < num_splits; ++i) {
      const Tensor& grad = ctx->input(2 + i);
      OP_REQUIRES(ctx, grad.shape() == WithRows(input.shape(), counts[i]),
                  BadInput(type_string(), ": grads[", i, "] has shape ", grad.shape().DebugString(), " but ", counts[i],
                           " rows of input went to split ", i, "."));
      grads[i] = static_cast<const char*>(grad.data());
    }
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, input.shape(), &out));
    dist::MergeRows(AsSpan<int64_t>(indices), std::move(grads), RowBytes(input), static_cast<char*>(out->data()));
  }
};

class RaggedSplitByIndicesOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const Tensor& indices = ctx->input(0);
    const Tensor& values = ctx->input(1);
    const Tensor& splits = ctx->input(2);
    const int num_splits = num_outputs() / 3;
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckSplitInputs(indices, values, num_splits));
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckRank("num", values, 1));
    MONOLITH_OP_REQUIRES_NONE(ctx, CheckRank("num_split", splits, 1));
    MONOLITH_OP_REQUIRES_NONE(ctx, dist::CheckSplits("num_split", AsSpan<int64_t>(splits), values.NumElements()));
    const auto parts =
        dist::SplitRagged(AsSpan<int64_t>(indices), AsSpan<int64_t>(values), AsSpan<int64_t>(splits), num_splits);
    for (int i = 0; i < num_splits; ++i) {
      OP_REQUIRES_OK(ctx, Emit(ctx, i, parts[i].values));
      OP_REQUIRES_OK(ctx, Emit(ctx, num_splits + i, parts[i].row_splits));
      OP_REQUIRES_OK(ctx, Emit(ctx, 2 * num_splits + i, parts[i].positions));
    }
  }

 private:
  static absl::Status Emit(OpKernelContext* ctx, int output, const std::vector<int64_t>& values) {
    Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, TensorShape({static_cast<int64_t>(values.size())}), &out));
    std::copy(values.begin(), values.end(), out->flat<int64_t>().data());
    return absl::OkStatus();
  }
};

class FusedValueRowidsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const auto splits = AsSpan<int64_t>(ctx->input(0));
    const int64_t size = splits.size ? splits[splits.size - 1] : 0;
    MONOLITH_OP_REQUIRES_NONE(ctx, dist::CheckSplits("splits", splits, size));
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({size}), &out));
    int64_t* rowids = out->flat<int64_t>().data();
    for (int64_t row = 0; row + 1 < splits.size; ++row) {
      std::fill(rowids + splits[row], rowids + splits[row + 1], row);
    }
  }
};

class NormalizeMergedSplitOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    std::vector<int64_t> joined;
    MONOLITH_OP_REQUIRES_NONE(
        ctx, dist::JoinRowSplits(AsSpan<int64_t>(ctx->input(0)), AsSpan<int32_t>(ctx->input(1)), &joined));
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({static_cast<int64_t>(joined.size())}), &out));
    std::copy(joined.begin(), joined.end(), out->flat<int64_t>().data());
  }
};

template <typename T>
class GenSeqMaskOp : public OpKernel {
 public:
  explicit GenSeqMaskOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("max_seq_length", &length_));
  }

  void Compute(OpKernelContext* ctx) override {
    const auto typed = AsSpan<T>(ctx->input(0));
    const std::vector<int64_t> splits(typed.begin(), typed.end());
    MONOLITH_OP_REQUIRES_NONE(ctx, dist::CheckSplits("splits", splits, splits.empty() ? 0 : splits.back()));
    const int64_t rows = static_cast<int64_t>(splits.size()) - 1;
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({rows, length_}), &out));
    T* mask = out->flat<T>().data();
    for (int64_t row = 0; row < rows; ++row, mask += length_) {
      const int64_t filled = std::min(splits[row + 1] - splits[row], length_);
      std::fill(mask, mask + filled, T(1));
      std::fill(mask + filled, mask + length_, T(0));
    }
  }

 private:
  int64_t length_ = 0;
};

REGISTER_KERNEL_BUILDER(Name("MonolithSplitByIndices").Device(DEVICE_CPU), SplitByIndicesOp);
REGISTER_KERNEL_BUILDER(Name("MonolithSplitByIndicesGradient").Device(DEVICE_CPU), SplitByIndicesGradientOp);
REGISTER_KERNEL_BUILDER(Name("MonolithRaggedSplitByIndices").Device(DEVICE_CPU), RaggedSplitByIndicesOp);
REGISTER_KERNEL_BUILDER(Name("MonolithFusedValueRowids").Device(DEVICE_CPU), FusedValueRowidsOp);
REGISTER_KERNEL_BUILDER(Name("MonolithNormalizeMergedSplit").Device(DEVICE_CPU), NormalizeMergedSplitOp);
REGISTER_KERNEL_BUILDER(Name("GenSeqMask").Device(DEVICE_CPU).TypeConstraint<int32_t>("T"), GenSeqMaskOp<int32_t>);
REGISTER_KERNEL_BUILDER(Name("GenSeqMask").Device(DEVICE_CPU).TypeConstraint<int64_t>("T"), GenSeqMaskOp<int64_t>);

}  // namespace
}  // namespace tensorflow::monolith_kernels
