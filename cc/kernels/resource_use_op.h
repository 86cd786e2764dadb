// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_RESOURCE_USE_OP_H_
#define CC_KERNELS_RESOURCE_USE_OP_H_

#include "absl/status/status.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

// Ops on a resource whose handle is their first input.
template <typename Resource>
class ResourceUseOp : public ::tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(::tensorflow::OpKernelContext* ctx) override {
    ::tensorflow::core::RefCountPtr<Resource> resource;
    OP_REQUIRES_OK(ctx, ::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, 0), &resource));
    OP_REQUIRES_OK(ctx, Use(ctx, resource.get()));
  }

 protected:
  // The resource lives until this returns.
  virtual absl::Status Use(::tensorflow::OpKernelContext* ctx, Resource* resource) = 0;
};

}  // namespace monolith

#endif  // CC_KERNELS_RESOURCE_USE_OP_H_
