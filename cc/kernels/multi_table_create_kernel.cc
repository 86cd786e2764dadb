// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_config_from_proto.h"
#include "cc/kernels/table_handle_op.h"
#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::core::RefCountPtr;

class ReadMultiTableOp : public TableHandleOp<MultiTableResource> {
 public:
  using TableHandleOp::TableHandleOp;
  void Compute(OpKernelContext* ctx) override { OutputHandle(ctx, MakeHandle(ctx)); }
};

class CreateMultiTableOp : public CreateTableOp<MultiTableResource> {
 public:
  explicit CreateMultiTableOp(OpKernelConstruction* ctx) : CreateTableOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("seed", &seed_));
  }

 private:
  absl::Status Create(OpKernelContext* ctx, FilterPtr filter, MultiTableResource** created) const override {
    ::tensorflow::tstring config;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "config", &config));
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
