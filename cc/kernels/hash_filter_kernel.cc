// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_op_kernel.h"

namespace monolith {
namespace {

class DummyHashFilterOp : public ::tensorflow::ResourceOpKernel<FilterResource> {
 public:
  using ResourceOpKernel::ResourceOpKernel;

 private:
  absl::Status CreateResource(FilterResource** resource) override {
    *resource = new FilterResource(nullptr);
    return absl::OkStatus();
  }
};

class DummySyncClientOp : public ::tensorflow::ResourceOpKernel<SyncClientResource> {
 public:
  using ResourceOpKernel::ResourceOpKernel;

 private:
  absl::Status CreateResource(SyncClientResource** resource) override {
    *resource = new SyncClientResource();
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithDummyHashFilter").Device(::tensorflow::DEVICE_CPU), DummyHashFilterOp);
REGISTER_KERNEL_BUILDER(Name("MonolithDummySyncClient").Device(::tensorflow::DEVICE_CPU), DummySyncClientOp);

}  // namespace
}  // namespace monolith
