// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "cc/kernels/status_util.h"
#include "cc/kernels/table_config_from_proto.h"
#include "cc/kernels/table_handle_op.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;

class HashTableOp : public CreateTableOp<TableResource> {
 public:
  explicit HashTableOp(OpKernelConstruction* ctx) : CreateTableOp(ctx) {
    std::string config;
    int64_t seed;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("config", &config));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("seed", &seed));
    hash_table::EmbeddingHashTableConfig proto;
    OP_REQUIRES(ctx, proto.ParseFromString(config),
                absl::InvalidArgumentError("hash table '" + shared_name_ +
                                           "': config is no EmbeddingHashTableConfig; serialize one."));
    OP_REQUIRES_OK(ctx, ToStatus([&] { config_ = TableConfigFromProto(shared_name_, proto, seed); }));
  }

 private:
  absl::Status Create(OpKernelContext*, FilterPtr filter, TableResource** created) const override {
    return ToStatus([&] { *created = new TableResource(config_, std::move(filter)); });
  }

  TableConfig config_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithHashTable").Device(::tensorflow::DEVICE_CPU), HashTableOp);

}  // namespace
}  // namespace monolith
