// SPDX-License-Identifier: Apache-2.0
// Kernels that look every distinct fid up once: unique, fill, and the buffer that they share.
#include <algorithm>
#include <utility>
#include <vector>

#include "cc/distribution/offset_map.h"
#include "cc/kernels/distribution_util.h"
#include "tensorflow/core/framework/resource_handle.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tensorflow::monolith_kernels {
namespace {

// A tensor that several ops of one step write to, each its own places. The handles own it, so it goes
// with the last of them, in a session and eagerly alike.
class SharedBuffer : public ResourceBase {
 public:
  explicit SharedBuffer(Tensor tensor) : tensor_(std::move(tensor)) {}

  std::string DebugString() const override {
    return "a shared buffer of " + std::to_string(tensor_.NumElements()) + " floats";
  }

  // Shares memory with what later readers get.
  Tensor tensor() const { return tensor_; }

 private:
  const Tensor tensor_;
};

absl::Status LookupBuffer(OpKernelContext* ctx, int input, core::RefCountPtr<SharedBuffer>* out) {
  const Tensor& handle = ctx->input(input);
  if (!TensorShapeUtils::IsScalar(handle.shape())) {
    return BadInput(ctx->op_kernel().type_string(), ": input ", input, " must be one handle, not ",
                    handle.shape().DebugString(), ".");
  }
  const ResourceHandle& resource = handle.scalar<ResourceHandle>()();
  if (!resource.IsRefCounting()) {
    return BadInput(ctx->op_kernel().type_string(), ": input ", input,
                    " holds no buffer; create it with "
                    "MonolithUniqueKeyWithValueAndOffset and generate_buffer=true.");
  }
  return LookupResource(ctx, resource, out);
}

// The inputs pos, pos_split, value, value_offset_map, value_offset_map_split of both fill ops.
dist::OffsetMap ReadMap(OpKernelContext* ctx, const std::vector<int64_t>& dims) {
  return {AsSpan<int64_t>(ctx->input(0)), AsSpan<int64_t>(ctx->input(1)), AsSpan<int64_t>(ctx->input(3)),
          AsSpan<int64_t>(ctx->input(4)), dims};
}

// Runs fn(begin, end) over the positions of a map on the device's threads.
template <typename Fn>
void ForEachPosition(OpKernelContext* ctx, const dist::OffsetMap& map, Fn fn) {
  const int64_t copies = map.offsets.size / std::max<int64_t>(map.offset_splits.size - 1, 1) + 1;
  const int64_t floats = dist::ValueSize(map) / std::max<int64_t>(map.pos.size, 1);
  const auto* workers = ctx->device()->tensorflow_cpu_worker_threads();
  Shard(workers->num_threads, workers->workers, map.pos.size, 20 + copies * (20 + floats), fn);
}

class UniqueKeyWithValueAndOffsetOp : public OpKernel {
 public:
  explicit UniqueKeyWithValueAndOffsetOp(OpKernelConstruction* ctx) : OpKernel(ctx), dims_(ReadInts(ctx, "dims")) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("generate_buffer", &generate_buffer_));
  }

  void Compute(OpKernelContext* ctx) override {
    dist::UniqueKeys unique;
    MONOLITH_OP_REQUIRES_NONE(
        ctx, dist::UniqueWithOffsets(AsSpan<int64_t>(ctx->input(0)), AsSpan<int64_t>(ctx->input(1)), dims_, &unique));
    OP_REQUIRES_OK(ctx, Emit(ctx, 0, unique.keys));
    OP_REQUIRES_OK(ctx, Emit(ctx, 1, unique.key_splits));
    OP_REQUIRES_OK(ctx, Emit(ctx, 2, unique.offsets));
    OP_REQUIRES_OK(ctx, Emit(ctx, 3, unique.offset_splits));
    OP_REQUIRES_OK(ctx, EmitBuffer(ctx, unique.buffer_size));
  }

 private:
  static absl::Status Emit(OpKernelContext* ctx, int output, const std::vector<int64_t>& values) {
    Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, TensorShape({static_cast<int64_t>(values.size())}), &out));
    std::copy(values.begin(), values.end(), out->flat<int64_t>().data());
    return absl::OkStatus();
  }

  absl::Status EmitBuffer(OpKernelContext* ctx, int64_t size) const {
    Tensor* handle = nullptr;
    AllocatorAttributes on_host;
    on_host.set_on_host(true);
    TF_RETURN_IF_ERROR(ctx->allocate_output(4, TensorShape({}), &handle, on_host));
    if (!generate_buffer_) return absl::OkStatus();
    Tensor buffer;
    TF_RETURN_IF_ERROR(ctx->allocate_temp(DT_FLOAT, TensorShape({size}), &buffer));
    std::fill_n(buffer.flat<float>().data(), size, 0.0f);  // a key nobody fills reads as absent
    handle->scalar<ResourceHandle>()() =
        ResourceHandle::MakeRefCountingHandle(new SharedBuffer(std::move(buffer)), ctx->device()->name());
    return absl::OkStatus();
  }

  const std::vector<int64_t> dims_;
  bool generate_buffer_ = true;
};

class FillWithOffsetMapOp : public OpKernel {
 public:
  explicit FillWithOffsetMapOp(OpKernelConstruction* ctx) : OpKernel(ctx), dims_(ReadInts(ctx, "dims")) {}

  void Compute(OpKernelContext* ctx) override {
    core::RefCountPtr<SharedBuffer> shared;
    OP_REQUIRES_OK(ctx, LookupBuffer(ctx, 5, &shared));
    Tensor buffer = shared->tensor();
    const dist::OffsetMap map = ReadMap(ctx, dims_);
    const Tensor& value = ctx->input(2);
    MONOLITH_OP_REQUIRES_NONE(ctx, dist::CheckOffsetMap(map, value.NumElements(), buffer.NumElements()));
    const float* values = value.flat<float>().data();
    float* places = buffer.flat<float>().data();
    ForEachPosition(ctx, map, [&](int64_t begin, int64_t end) { dist::FillBuffer(map, values, begin, end, places); });
    ctx->set_output(0, ctx->input(5));
  }

 private:
  const std::vector<int64_t> dims_;
};

class FillWithOffsetMapGradientOp : public OpKernel {
 public:
  explicit FillWithOffsetMapGradientOp(OpKernelConstruction* ctx) : OpKernel(ctx), dims_(ReadInts(ctx, "dims")) {}

  void Compute(OpKernelContext* ctx) override {
    const Tensor& grad = ctx->input(2);
    const dist::OffsetMap map = ReadMap(ctx, dims_);
    MONOLITH_OP_REQUIRES_NONE(ctx, dist::CheckOffsetMap(map, -1, grad.NumElements()));
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({dist::ValueSize(map)}), &out));
    const float* places = grad.flat<float>().data();
    float* values = out->flat<float>().data();
    ForEachPosition(ctx, map,
                    [&](int64_t begin, int64_t end) { dist::SumFromBuffer(map, places, begin, end, values); });
  }

 private:
  const std::vector<int64_t> dims_;
};

class FinalizeSharedTensorOp : public OpKernel {
 public:
  explicit FinalizeSharedTensorOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shape", &shape_));
  }

  void Compute(OpKernelContext* ctx) override {
    core::RefCountPtr<SharedBuffer> first;
    OP_REQUIRES_OK(ctx, LookupBuffer(ctx, 0, &first));
    for (int i = 1; i < num_inputs(); ++i) {
      core::RefCountPtr<SharedBuffer> other;
      OP_REQUIRES_OK(ctx, LookupBuffer(ctx, i, &other));
      OP_REQUIRES(ctx, other.get() == first.get(),
                  BadInput(type_string(), ": handle ", i,
                           " is of another buffer than handle 0; give handles of "
                           "one buffer."));
    }
    const Tensor tensor = first->tensor();
    TensorShape shape;
    OP_REQUIRES(ctx, Resolve(tensor.NumElements(), &shape),
                BadInput(type_string(), ": the buffer holds ", tensor.NumElements(), " values, which shape ",
                         shape_.DebugString(), " does not fit."));
    Tensor out;
    OP_REQUIRES(ctx, out.CopyFrom(tensor, shape), absl::InternalError("cannot reshape the buffer"));
    ctx->set_output(0, out);
  }

 private:
  // Puts what remains of `size` into the one unknown dimension; false where that does not work out.
  bool Resolve(int64_t size, TensorShape* shape) const {
    if (shape_.unknown_rank()) {
      *shape = TensorShape({size});
      return true;
    }
    int unknown = -1;
    int64_t known = 1;
    for (int d = 0; d < shape_.dims(); ++d) {
      if (shape_.dim_size(d) < 0 && unknown >= 0) return false;
      if (shape_.dim_size(d) < 0)
        unknown = d;
      else
        known *= shape_.dim_size(d);
    }
    if (unknown < 0 ? known != size : (known == 0 ? size != 0 : size % known != 0)) return false;
    for (int d = 0; d < shape_.dims(); ++d) {
      shape->AddDim(d == unknown ? (known ? size / known : 0) : shape_.dim_size(d));
    }
    return true;
  }

  PartialTensorShape shape_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithUniqueKeyWithValueAndOffset").Device(DEVICE_CPU), UniqueKeyWithValueAndOffsetOp);
REGISTER_KERNEL_BUILDER(Name("MonolithFillWithOffsetMap").Device(DEVICE_CPU), FillWithOffsetMapOp);
REGISTER_KERNEL_BUILDER(Name("MonolithFillWithOffsetMapGradient").Device(DEVICE_CPU), FillWithOffsetMapGradientOp);
REGISTER_KERNEL_BUILDER(Name("MonolithFinalizeSharedTensor").Device(DEVICE_CPU), FinalizeSharedTensorOp);

}  // namespace
}  // namespace tensorflow::monolith_kernels
