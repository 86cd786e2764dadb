// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/record_file.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_file_op.h"
#include "cc/kernels/table_files.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/random.h"

namespace monolith {
namespace {

using ::tensorflow::Env;
using ::tensorflow::OpKernelConstruction;

class SaveOp : public TableFileOp<TableResource> {
 public:
  explicit SaveOp(OpKernelConstruction* ctx) : TableFileOp(ctx) {
    OP_REQUIRES_OK(ctx, settings_.Read(ctx));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("random_sleep_ms", &random_sleep_ms_));
    OP_REQUIRES(ctx, random_sleep_ms_ >= 0,
                absl::InvalidArgumentError(
                    absl::StrCat("random_sleep_ms is ", random_sleep_ms_, "; it must be at least 0 milliseconds.")));
  }

 private:
  absl::Status Run(Env* env, TableResource* resource, const std::vector<std::string>& basenames) override {
    TF_RETURN_IF_ERROR(PrepareSave(env, basenames));
    // Before the table is locked: training goes on while a save waits for its turn.
    if (random_sleep_ms_ > 0) {
      env->SleepForMicroseconds(::tensorflow::random::New64() % (1000 * static_cast<uint64_t>(random_sleep_ms_)));
    }
    EmbeddingTable& table = resource->table();
    std::unique_ptr<EmbeddingTable::Locked> locked = table.Lock();
    const int num_shards = settings_.NumShards(table.size());
    const ExpireConfig& expire = settings_.expire ? *settings_.expire : table.config().expire;
    return WriteShards(
        env, basenames[0], num_shards, kNoCompression,
        [&](int shard, FrameBuffer* frames, std::vector<TableCount>* counts) {
          counts->push_back({table.config().name, locked->Save(shard, num_shards, expire, frames)});
        },
        [&] { locked.reset(); });
  }

  SaveSettings settings_;
  int64_t random_sleep_ms_;
};

class RestoreOp : public TableFileOp<TableResource> {
 public:
  explicit RestoreOp(OpKernelConstruction* ctx) : TableFileOp(ctx) { OP_REQUIRES_OK(ctx, settings_.Read(ctx)); }

 private:
  absl::Status Run(Env* env, TableResource* resource, const std::vector<std::string>& basenames) override {
    TF_RETURN_IF_ERROR(CheckRestore(basenames));
    std::vector<ShardFiles> shards;
    for (const std::string& basename : basenames) TF_RETURN_IF_ERROR(FindShards(env, basename, false, &shards));
    std::unique_ptr<RestoreBatch> batch;
    TF_RETURN_IF_ERROR(ToStatus([&] { batch = resource->table().StartRestore(); }));
    TF_RETURN_IF_ERROR(RunOnThreads(env, static_cast<int>(shards.size()), [&](int i) {
      return ReadRecords(env, shards[i], [&](const std::vector<std::string_view>& records) {
        const absl::Status added =
            ToStatus([&] { batch->Add(records.data(), records.size(), settings_.shard, settings_.num_shards); });
        return added.ok() ? added : absl::Status(added.code(), absl::StrCat(shards[i].data, ": ", added.message()));
      });
    }));
    resource->table().FinishRestore(std::move(batch));
    return absl::OkStatus();
  }

  RestoreSettings settings_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithHashTableSave").Device(::tensorflow::DEVICE_CPU), SaveOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableRestore").Device(::tensorflow::DEVICE_CPU), RestoreOp);

}  // namespace
}  // namespace monolith
