// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_config_from_proto.h"
#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::ResourceHandle;
using ::tensorflow::Tensor;
using ::tensorflow::core::RefCountPtr;

// The part that creating and reading share: a handle by container and shared name.
class MultiTableHandleOp : public OpKernel {
 public:
  explicit MultiTableHandleOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("container", &container_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shared_name", &shared_name_));
    OP_REQUIRES(ctx, !shared_name_.empty(),
                absl::InvalidArgumentError(name() + ": shared_name is empty; name the multi hash table."));
  }

 protected:
  ResourceHandle MakeHandle(OpKernelContext* ctx) const {
    return ::tensorflow::MakeResourceHandle<MultiTableResource>(ctx, container_, shared_name_);
  }

  void OutputHandle(OpKernelContext* ctx, const ResourceHandle& handle) const {
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {}, &output));
    output->scalar<ResourceHandle>()() = handle;
  }

  std::string shared_name_;

 private:
  std::string container_;
};

class ReadMultiTableOp : public MultiTableHandleOp {
 public:
  using MultiTableHandleOp::MultiTableHandleOp;
  void Compute(OpKernelContext* ctx) override { OutputHandle(ctx, MakeHandle(ctx)); }
};

class CreateMultiTableOp : public MultiTableHandleOp {
 public:
  enum Input { kConfig = 0, kFilter = 1, kSyncClient = 2 };

  explicit CreateMultiTableOp(OpKernelConstruction* ctx) : MultiTableHandleOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("seed", &seed_));
  }

  void Compute(OpKernelContext* ctx) override {
    // Before the creation, during which the resource manager is locked.
    RefCountPtr<FilterResource> filter;
    OP_REQUIRES_OK(ctx, ::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, kFilter), &filter));
    RefCountPtr<SyncClientResource> sync_client;
    OP_REQUIRES_OK(ctx,
                   ::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, kSyncClient), &sync_client));
    const ResourceHandle handle = MakeHandle(ctx);
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, ::tensorflow::LookupOrCreateResource<MultiTableResource>(
                            ctx, handle, &resource,
                            [&](MultiTableResource** created) { return Create(ctx, std::move(filter), created); }));
    OutputHandle(ctx, handle);
  }

 private:
  absl::Status Create(OpKernelContext* ctx, RefCountPtr<FilterResource> filter, MultiTableResource** created) const {
    ::tensorflow::tstring config;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, kConfig, "config", &config));
    hash_table::MultiEmbeddingHashTableConfig proto;
    if (!proto.ParseFromString(std::string(config))) {
      return absl::InvalidArgumentError("multi hash table '" + shared_name_ +
                                        "': config is no MultiEmbeddingHashTableConfig; serialize one.");
    }
    if (proto.names_size() != proto.configs_size()) {
      return absl::InvalidArgumentError("multi hash table '" + shared_name_ +
                                        "': " + std::to_string(proto.names_size()) + " names for " +
                                        std::to_string(proto.configs_size()) + " configs; give one name each.");
    }
    return ToStatus([&] {
      std::vector<TableConfig> configs;
      for (int i = 0; i < proto.names_size(); ++i) {
        configs.push_back(TableConfigFromProto(proto.names(i), proto.configs(i), seed_));
      }
      *created = new MultiTableResource(configs, std::move(filter));
    });
  }

  int64_t seed_;
};

class IsHashTableInitializedOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    const absl::Status found = ::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, 0), &resource);
    OP_REQUIRES(ctx, found.ok() || absl::IsNotFound(found), found);
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {}, &output));
    output->scalar<bool>()() = found.ok();
  }
};

REGISTER_KERNEL_BUILDER(Name("CreateMonolithMultiHashTable").Device(::tensorflow::DEVICE_CPU), CreateMultiTableOp);
REGISTER_KERNEL_BUILDER(Name("ReadMonolithMultiHashTable").Device(::tensorflow::DEVICE_CPU), ReadMultiTableOp);
REGISTER_KERNEL_BUILDER(Name("IsHashTableInitialized").Device(::tensorflow::DEVICE_CPU), IsHashTableInitializedOp);

}  // namespace
}  // namespace monolith
