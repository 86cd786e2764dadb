// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/record_file.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/stacked_ids.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_file_op.h"
#include "cc/kernels/table_files.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::Env;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

class MultiTableSaveOp : public TableFileOp<MultiTableResource> {
 public:
  explicit MultiTableSaveOp(OpKernelConstruction* ctx) : TableFileOp(ctx) { OP_REQUIRES_OK(ctx, settings_.Read(ctx)); }

 private:
  absl::Status Run(Env* env, MultiTableResource* resource, const std::vector<std::string>& basenames) override {
    TF_RETURN_IF_ERROR(PrepareSave(env, basenames));
    MultiTable* tables = &resource->tables();
    std::vector<std::unique_ptr<EmbeddingTable::Locked>> locked;
    for (int t = 0; t < tables->num_tables(); ++t) locked.push_back(tables->table(t).Lock());
    const int num_shards = settings_.NumShards(tables->size());
    return WriteShards(
        env, basenames[0], num_shards, kSnappyCompression,
        [&](int shard, FrameBuffer* frames, std::vector<TableCount>* counts) {
          for (int t = 0; t < tables->num_tables(); ++t) {
            const ExpireConfig& expire = settings_.expire ? *settings_.expire : tables->table(t).config().expire;
            counts->push_back({tables->name(t), locked[t]->Save(shard, num_shards, expire, frames)});
          }
        },
        [&] { locked.clear(); });  // the cut is on disk; writers may go on
  }

  SaveSettings settings_;
};

class MultiTableRestoreOp : public TableFileOp<MultiTableResource> {
 public:
  explicit MultiTableRestoreOp(OpKernelConstruction* ctx) : TableFileOp(ctx) {
    OP_REQUIRES_OK(ctx, settings_.Read(ctx));
  }

 private:
  struct Shard {
    std::string data;
    std::vector<TableCount> counts;
  };

  absl::Status Run(Env* env, MultiTableResource* resource, const std::vector<std::string>& basenames) override {
    TF_RETURN_IF_ERROR(CheckRestore(basenames));
    MultiTable* tables = &resource->tables();
    std::vector<Shard> shards;
    for (const std::string& basename : basenames) TF_RETURN_IF_ERROR(ReadCounts(env, basename, &shards));
    LogUnplaced(*tables, shards, basenames[0]);
    std::vector<std::unique_ptr<RestoreBatch>> batches;
    const std::vector<uint64_t> expected = CountEntries(*tables, shards);
    TF_RETURN_IF_ERROR(ToStatus([&] {
      for (int t = 0; t < tables->num_tables(); ++t) {
        batches.push_back(tables->table(t).StartRestore(expected[t] / settings_.num_shards));
      }
    }));
    TF_RETURN_IF_ERROR(RunOnThreads(env, static_cast<int>(shards.size()),
                                    [&](int i) { return ReadInto(env, *tables, shards[i], batches); }));
    for (int t = 0; t < tables->num_tables(); ++t) tables->table(t).FinishRestore(std::move(batches[t]));
    LOG(INFO) << "restored " << basenames[0] << ": " << resource->DebugString();
    return absl::OkStatus();
  }

  static absl::Status ReadCounts(Env* env, const std::string& basename, std::vector<Shard>* shards) {
    std::vector<ShardFiles> files;
    TF_RETURN_IF_ERROR(FindShards(env, basename, true, &files));
    for (const ShardFiles& one : files) {
      Shard shard{one.data, {}};
      TF_RETURN_IF_ERROR(ReadMetadata(env, one.meta, &shard.counts));
      shards->push_back(std::move(shard));
    }
    return absl::OkStatus();
  }

  // How many entries were saved of each table.
  static std::vector<uint64_t> CountEntries(const MultiTable& tables, const std::vector<Shard>& shards) {
    std::vector<uint64_t> entries(tables.num_tables(), 0);
    for (const Shard& shard : shards) {
      for (const TableCount& count : shard.counts) {
        const int t = tables.IndexOf(count.table);
        if (t >= 0) entries[t] += count.num_entries;
      }
    }
    return entries;
  }

  static void LogUnplaced(const MultiTable& tables, const std::vector<Shard>& shards, const std::string& basename) {
    std::vector<bool> found(tables.num_tables(), false);
    std::set<std::string> unplaced;
    for (const Shard& shard : shards) {
      for (const TableCount& count : shard.counts) {
        const int t = tables.IndexOf(count.table);
        if (t >= 0) {
          found[t] = true;
        } else if (unplaced.insert(count.table).second) {
          LOG(WARNING) << "restoring " << basename << ": no table takes the saved table '" << count.table << "'.";
        }
      }
    }
    for (int t = 0; t < tables.num_tables(); ++t) {
      if (!found[t])
        LOG(WARNING) << "restoring " << basename << ": nothing saved for table '" << tables.name(t) << "'.";
    }
  }

  absl::Status ReadInto(Env* env, const MultiTable& tables, const Shard& shard,
                        const std::vector<std::unique_ptr<RestoreBatch>>& batches) const {
    return ReadShard(env, shard.data, shard.counts, [&](int index, const std::vector<std::string_view>& records) {
      const int t = tables.IndexOf(shard.counts[index].table);
      if (t < 0) return absl::OkStatus();
      const absl::Status added =
          ToStatus([&] { batches[t]->Add(records.data(), records.size(), settings_.shard, settings_.num_shards); });
      return added.ok() ? added : absl::Status(added.code(), absl::StrCat(shard.data, ": ", added.message()));
    });
  }

  RestoreSettings settings_;
};

class MultiTableFeatureStatOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    ::tensorflow::tstring input;
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, 0, "basename", &input));
    const std::string basename(input);
    std::vector<std::string> files;
    OP_REQUIRES_OK(ctx, FindShardFiles(ctx->env(), MetaBasename(basename), &files));
    std::vector<TableCount> sums;
    for (const std::string& file : files) {
      std::vector<TableCount> counts;
      OP_REQUIRES_OK(ctx, ReadMetadata(ctx->env(), file, &counts));
      for (const TableCount& count : counts) {
        auto it = std::find_if(sums.begin(), sums.end(), [&](const TableCount& s) { return s.table == count.table; });
        if (it == sums.end()) it = sums.insert(sums.end(), {count.table, 0});
        it->num_entries += count.num_entries;
      }
    }
    Tensor *names, *counts;
    const int64_t num_tables = static_cast<int64_t>(sums.size());
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {num_tables}, &names));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, {num_tables}, &counts));
    for (int64_t i = 0; i < num_tables; ++i) {
      names->flat<::tensorflow::tstring>()(i) = sums[i].table;
      counts->flat<uint64_t>()(i) = sums[i].num_entries;
    }
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableSave").Device(::tensorflow::DEVICE_CPU), MultiTableSaveOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableRestore").Device(::tensorflow::DEVICE_CPU), MultiTableRestoreOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableFeatureStat").Device(::tensorflow::DEVICE_CPU),
                        MultiTableFeatureStatOp);

}  // namespace
}  // namespace monolith
