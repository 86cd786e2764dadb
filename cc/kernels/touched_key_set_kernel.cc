// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include "cc/hash_table/touched_keys.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::core::RefCountPtr;

class TouchedKeysResource : public ::tensorflow::ResourceBase {
 public:
  TouchedKeysResource(int64_t capacity, int64_t concurrency_level) : keys(capacity, concurrency_level) {}
  std::string DebugString() const override { return "Monolith touched-key set"; }
  TouchedKeys keys;
};

class TouchedKeySetOp : public ::tensorflow::ResourceOpKernel<TouchedKeysResource> {
 public:
  explicit TouchedKeySetOp(OpKernelConstruction* ctx) : ResourceOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("capacity", &capacity_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("concurrency_level", &concurrency_level_));
  }

 private:
  absl::Status CreateResource(TouchedKeysResource** resource) override {
    return ToStatus([&] { *resource = new TouchedKeysResource(capacity_, concurrency_level_); });
  }

  int64_t capacity_, concurrency_level_;
};

// The part that reading and writing share: the set of input 0.
class TouchedKeysUseOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<TouchedKeysResource> resource;
    OP_REQUIRES_OK(ctx, ::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, 0), &resource));
    Use(ctx, &resource->keys);
  }

 protected:
  virtual void Use(OpKernelContext* ctx, TouchedKeys* keys) = 0;
};

class TouchedKeySetInsertOp : public TouchedKeysUseOp {
 public:
  using TouchedKeysUseOp::TouchedKeysUseOp;

 private:
  void Use(OpKernelContext* ctx, TouchedKeys* keys) override {
    const auto ids = ctx->input(1).flat<int64_t>();
    Tensor* dropped;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {1}, &dropped));
    OP_REQUIRES_OK(ctx, ToStatus([&] { dropped->flat<int64_t>()(0) = keys->Insert(ids.data(), ids.size()); }));
  }
};

class TouchedKeySetStealOp : public TouchedKeysUseOp {
 public:
  using TouchedKeysUseOp::TouchedKeysUseOp;

 private:
  void Use(OpKernelContext* ctx, TouchedKeys* keys) override {
    std::vector<int64_t> stolen;
    OP_REQUIRES_OK(ctx, ToStatus([&] { stolen = keys->Steal(); }));
    Tensor* ids;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {static_cast<int64_t>(stolen.size())}, &ids));
    std::copy(stolen.begin(), stolen.end(), ids->flat<int64_t>().data());
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySet").Device(::tensorflow::DEVICE_CPU), TouchedKeySetOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySetInsert").Device(::tensorflow::DEVICE_CPU), TouchedKeySetInsertOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySetSteal").Device(::tensorflow::DEVICE_CPU), TouchedKeySetStealOp);

}  // namespace
}  // namespace monolith
