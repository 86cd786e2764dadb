// SPDX-License-Identifier: Apache-2.0
// What ops that make handles of tables share.
#ifndef CC_KERNELS_TABLE_HANDLE_OP_H_
#define CC_KERNELS_TABLE_HANDLE_OP_H_

#include <string>

#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

// Makes a handle by container and shared name.
template <typename Resource>
class TableHandleOp : public ::tensorflow::OpKernel {
 public:
  explicit TableHandleOp(::tensorflow::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("container", &container_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shared_name", &shared_name_));
    OP_REQUIRES(ctx, !shared_name_.empty(),
                absl::InvalidArgumentError(name() + ": shared_name is empty; name the hash table."));
  }

 protected:
  ::tensorflow::ResourceHandle MakeHandle(::tensorflow::OpKernelContext* ctx) const {
    return ::tensorflow::MakeResourceHandle<Resource>(ctx, container_, shared_name_);
  }

  void OutputHandle(::tensorflow::OpKernelContext* ctx, const ::tensorflow::ResourceHandle& handle) const {
    ::tensorflow::Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {}, &output));
    output->scalar<::tensorflow::ResourceHandle>()() = handle;
  }

  std::string shared_name_;

 private:
  std::string container_;
};

// Finds or creates what the handle stands for; inputs "filter_handle" and "sync_client_handle" go with it.
template <typename Resource>
class CreateTableOp : public TableHandleOp<Resource> {
 public:
  using FilterPtr = ::tensorflow::core::RefCountPtr<FilterResource>;
  using TableHandleOp<Resource>::TableHandleOp;

  void Compute(::tensorflow::OpKernelContext* ctx) override {
    // Before the creation, during which the resource manager is locked.
    FilterPtr filter;
    OP_REQUIRES_OK(ctx, FindInput(ctx, "filter_handle", &filter));
    ::tensorflow::core::RefCountPtr<SyncClientResource> sync_client;
    OP_REQUIRES_OK(ctx, FindInput(ctx, "sync_client_handle", &sync_client));
    const ::tensorflow::ResourceHandle handle = this->MakeHandle(ctx);
    ::tensorflow::core::RefCountPtr<Resource> resource;
    OP_REQUIRES_OK(ctx, ::tensorflow::LookupOrCreateResource<Resource>(ctx, handle, &resource, [&](Resource** created) {
                     return Create(ctx, std::move(filter), created);
                   }));
    this->OutputHandle(ctx, handle);
  }

 protected:
  virtual absl::Status Create(::tensorflow::OpKernelContext* ctx, FilterPtr filter, Resource** created) const = 0;

 private:
  template <typename T>
  static absl::Status FindInput(::tensorflow::OpKernelContext* ctx, const char* name,
                                ::tensorflow::core::RefCountPtr<T>* resource) {
    ::tensorflow::ResourceHandle handle;
    TF_RETURN_IF_ERROR(::tensorflow::HandleFromInput(ctx, name, &handle));
    return ::tensorflow::LookupResource(ctx, handle, resource);
  }
};

}  // namespace monolith

#endif  // CC_KERNELS_TABLE_HANDLE_OP_H_
