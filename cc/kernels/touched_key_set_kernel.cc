// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include "cc/hash_table/touched_keys.h"
#include "cc/kernels/resource_use_op.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

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

class TouchedKeySetInsertOp : public ResourceUseOp<TouchedKeysResource> {
 public:
  using ResourceUseOp::ResourceUseOp;

 private:
  absl::Status Use(OpKernelContext* ctx, TouchedKeysResource* resource) override {
    const auto ids = ctx->input(1).flat<int64_t>();
    Tensor* dropped;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {1}, &dropped));
    return ToStatus([&] { dropped->flat<int64_t>()(0) = resource->keys.Insert(ids.data(), ids.size()); });
  }
};

class TouchedKeySetStealOp : public ResourceUseOp<TouchedKeysResource> {
 public:
  using ResourceUseOp::ResourceUseOp;

 private:
  absl::Status Use(OpKernelContext* ctx, TouchedKeysResource* resource) override {
    std::vector<int64_t> stolen;
    TF_RETURN_IF_ERROR(ToStatus([&] { stolen = resource->keys.Steal(); }));
    Tensor* ids;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {static_cast<int64_t>(stolen.size())}, &ids));
    std::copy(stolen.begin(), stolen.end(), ids->flat<int64_t>().data());
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySet").Device(::tensorflow::DEVICE_CPU), TouchedKeySetOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySetInsert").Device(::tensorflow::DEVICE_CPU), TouchedKeySetInsertOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySetSteal").Device(::tensorflow::DEVICE_CPU), TouchedKeySetStealOp);

}  // namespace
}  // namespace monolith
