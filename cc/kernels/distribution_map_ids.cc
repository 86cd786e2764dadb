// SPDX-License-Identifier: Apache-2.0
// Kernels that put shards' answers into the order of the question, and the many-tensor reshape.
#include <algorithm>
#include <cstring>
#include <vector>

#include "cc/distribution/map_ids.h"
#include "cc/kernels/distribution_util.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tensorflow::monolith_kernels {
namespace {

std::vector<dist::Span<const int64_t>> IdLists(OpKernelContext* ctx, int num_splits) {
  std::vector<dist::Span<const int64_t>> ids;
  for (int i = 0; i < num_splits; ++i) ids.push_back(AsSpan<int64_t>(ctx->input(i)));
  return ids;
}

class MapIdToEmbeddingOp : public OpKernel {
 public:
  explicit MapIdToEmbeddingOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_splits", &num_splits_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_multi_threads", &use_multi_threads_));
  }

  void Compute(OpKernelContext* ctx) override {
    std::vector<const float*> embeddings(num_splits_);
    int64_t dim = 0;
    MONOLITH_OP_REQUIRES_NONE(ctx, ReadEmbeddings(ctx, &embeddings, &dim));
    const Tensor& input = ctx->input(2 * num_splits_);
    std::vector<dist::ShardRow> rows;
    MONOLITH_OP_REQUIRES_NONE(ctx, dist::LocateIds(IdLists(ctx, num_splits_), AsSpan<int64_t>(input), &rows));
    TensorShape shape = input.shape();
    shape.AddDim(dim);
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, shape, &out));
    float* output = out->flat<float>().data();
    const auto copy = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::memcpy(output + i * dim, embeddings[rows[i].shard] + rows[i].row * dim, dim * sizeof(float));
      }
    };
    const int64_t n = static_cast<int64_t>(rows.size());
    const auto* workers = ctx->device()->tensorflow_cpu_worker_threads();
    if (use_multi_threads_)
      Shard(workers->num_threads, workers->workers, n, 20 + dim, copy);
    else
      copy(0, n);
  }

 private:
  dist::Error ReadEmbeddings(OpKernelContext* ctx, std::vector<const float*>* embeddings, int64_t* dim) const {
    for (int i = 0; i < num_splits_; ++i) {
      const Tensor& t = ctx->input(num_splits_ + i);
      if (dist::Error error = CheckRank("an embedding list", t, 2)) return error;
      if (i == 0) *dim = t.dim_size(1);
      if (t.dim_size(1) != *dim || t.dim_size(0) != ctx->input(i).NumElements()) {
        return "embeddings[" + std::to_string(i) + "] has shape " + t.shape().DebugString() + " but must have [" +
               std::to_string(ctx->input(i).NumElements()) + "," + std::to_string(*dim) +
               "], one row for each of ids[" + std::to_string(i) + "]";
      }
      (*embeddings)[i] = t.flat<float>().data();
    }
    return std::nullopt;
  }

  int num_splits_ = 1;
  bool use_multi_threads_ = true;
};

class MapIdToEmbeddingGradientOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const int n = num_outputs();
    const Tensor& input = ctx->input(n);
    const Tensor& grads = ctx->input(n + 1);
    const int64_t dim = grads.dims() ? grads.dim_size(grads.dims() - 1) : 0;
    OP_REQUIRES(ctx, grads.NumElements() == input.NumElements() * dim,
                BadInput(type_string(), ": grads has shape ", grads.shape().DebugString(), " but input has ",
                         input.shape().DebugString(), "; give one row an id."));
    std::vector<dist::ShardRow> rows;
    MONOLITH_OP_REQUIRES_NONE(ctx, dist::LocateIds(IdLists(ctx, n), AsSpan<int64_t>(input), &rows));
    std::vector<float*> outputs(n);
    for (int i = 0; i < n; ++i) {
      Tensor* out = nullptr;
      OP_REQUIRES_OK(ctx, ctx->allocate_output(i, TensorShape({ctx->input(i).NumElements(), dim}), &out));
      outputs[i] = out->flat<float>().data();
      std::fill_n(outputs[i], out->NumElements(), 0.0f);
    }
    const float* grad = grads.flat<float>().data();
    for (const dist::ShardRow& row : rows) {
      float* out = outputs[row.shard] + row.row * dim;
      for (int64_t d = 0; d < dim; ++d) out[d] += grad[d];
      grad += dim;
    }
  }
};

class StaticReshapeNOp : public OpKernel {
 public:
  explicit StaticReshapeNOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shapes", &shapes_));
    OP_REQUIRES(ctx, static_cast<int>(shapes_.size()) == num_inputs(),
                BadInput(type_string(), ": ", shapes_.size(), " shapes for ", num_inputs(),
                         " tensors; give one shape a tensor."));
    for (size_t i = 0; i < shapes_.size(); ++i) {
      const auto& s = shapes_[i];
      int unknown = s.unknown_rank() ? 2 : 0;
      for (int d = 0; d < s.dims(); ++d) unknown += s.dim_size(d) < 0;
      OP_REQUIRES(
          ctx, unknown < 2,
          BadInput(type_string(), ": shapes[", i, "] is ", s.DebugString(), "; at most one dimension may be unknown."));
    }
  }

  void Compute(OpKernelContext* ctx) override {
    Tensor* sizes = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(num_inputs(), TensorShape({num_inputs()}), &sizes));
    for (int i = 0; i < num_inputs(); ++i) {
      const Tensor& input = ctx->input(i);
      TensorShape shape;
      OP_REQUIRES(ctx, Resolve(shapes_[i], input.NumElements(), &shape),
                  BadInput(type_string(), ": inputs[", i, "] of shape ", input.shape().DebugString(),
                           " does not reshape to ", shapes_[i].DebugString(), "."));
      Tensor out;
      OP_REQUIRES(ctx, out.CopyFrom(input, shape), absl::InternalError("cannot reshape a tensor"));
      ctx->set_output(i, out);
      sizes->flat<int64_t>()(i) = input.NumElements();
    }
  }

 private:
  static bool Resolve(const PartialTensorShape& target, int64_t size, TensorShape* shape) {
    int64_t known = 1;
    bool open = false;
    for (int d = 0; d < target.dims(); ++d) {
      if (target.dim_size(d) < 0)
        open = true;
      else
        known *= target.dim_size(d);
    }
    if (open ? (known == 0 || size % known != 0) : known != size) return false;
    for (int d = 0; d < target.dims(); ++d) {
      shape->AddDim(target.dim_size(d) < 0 ? size / known : target.dim_size(d));
    }
    return true;
  }

  std::vector<PartialTensorShape> shapes_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithMapIdToEmbedding").Device(DEVICE_CPU), MapIdToEmbeddingOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMapIdToEmbeddingGradient").Device(DEVICE_CPU), MapIdToEmbeddingGradientOp);
REGISTER_KERNEL_BUILDER(Name("MonolithStaticReshapeN").Device(DEVICE_CPU), StaticReshapeNOp);

}  // namespace
}  // namespace tensorflow::monolith_kernels
