// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/record_file.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/stacked_ids.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_config_from_proto.h"
#include "cc/kernels/table_files.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/lib/io/path.h"

namespace monolith {
namespace {

using ::tensorflow::AsyncOpKernel;
using ::tensorflow::Env;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::core::RefCountPtr;

constexpr uint64_t kEntriesPerShard = 1000000;
constexpr int kMostAutoShards = 4;
constexpr int kMostShards = 99999;  // five digits in file names

// The scalar or vector of basenames in input 1.
std::vector<std::string> Basenames(OpKernelContext* ctx) {
  const auto flat = ctx->input(1).flat<::tensorflow::tstring>();
  std::vector<std::string> names;
  for (int64_t i = 0; i < flat.size(); ++i) names.emplace_back(flat(i));
  return names;
}

// Finds the tables, then lets Run work on a thread of its own.
class MultiTableFileOp : public AsyncOpKernel {
 public:
  using AsyncOpKernel::AsyncOpKernel;

  void ComputeAsync(OpKernelContext* ctx, DoneCallback done) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK_ASYNC(ctx, FindMultiTable(ctx, &resource), done);
    auto* held = resource.release();
    ctx->env()->SchedClosure([this, ctx, held, done = std::move(done)] {
      const RefCountPtr<MultiTableResource> resource(held);
      OP_REQUIRES_OK_ASYNC(ctx, Run(ctx->env(), &resource->tables(), Basenames(ctx)), done);
      ctx->set_output(0, ctx->input(0));
      done();
    });
  }

 protected:
  virtual absl::Status Run(Env* env, MultiTable* tables, const std::vector<std::string>& basenames) = 0;
};

class MultiTableSaveOp : public MultiTableFileOp {
 public:
  explicit MultiTableSaveOp(OpKernelConstruction* ctx) : MultiTableFileOp(ctx) {
    std::string config;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("nshards", &num_shards_));
    OP_REQUIRES(ctx, num_shards_ <= kMostShards,
                absl::InvalidArgumentError(absl::StrCat("nshards is ", num_shards_, "; it must be at most ",
                                                        kMostShards, ", the most that file names number.")));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("slot_expire_time_config", &config));
    if (config.empty()) return;
    hash_table::SlotExpireTimeConfig proto;
    OP_REQUIRES(ctx, proto.ParseFromString(config),
                absl::InvalidArgumentError("slot_expire_time_config is no SlotExpireTimeConfig; serialize one."));
    OP_REQUIRES_OK(ctx, ToStatus([&] { expire_ = ExpireConfigFromProto(proto); }));
  }

 private:
  absl::Status Run(Env* env, MultiTable* tables, const std::vector<std::string>& basenames) override {
    if (basenames.size() != 1) {
      return absl::InvalidArgumentError(absl::StrCat("basename has ", basenames.size(), " elements; save to one."));
    }
    const std::string& basename = basenames[0];
    if (basename.empty()) {
      return absl::InvalidArgumentError("basename is empty; give the path in front of the shard suffix.");
    }
    TF_RETURN_IF_ERROR(env->RecursivelyCreateDir(std::string(::tensorflow::io::Dirname(basename))));
    std::vector<std::unique_ptr<EmbeddingTable::Locked>> locked;
    for (int t = 0; t < tables->num_tables(); ++t) locked.push_back(tables->table(t).Lock());
    const int num_shards = num_shards_ > 0 ? num_shards_ : AutoShards(tables->size());
    std::vector<std::unique_ptr<ShardWriter>> writers;
    for (int i = 0; i < num_shards; ++i) {
      writers.push_back(std::make_unique<ShardWriter>(env, basename, i, num_shards));
    }
    TF_RETURN_IF_ERROR(RunOnThreads(env, num_shards, [&](int i) {
      return writers[i]->Write([&](const ShardWriter::Append& append, std::vector<TableCount>* counts) {
        return WriteEntries(*tables, locked, i, num_shards, append, counts);
      });
    }));
    locked.clear();  // the cut is on disk; writers may go on
    for (auto& writer : writers) TF_RETURN_IF_ERROR(writer->Commit());
    return RemoveOtherShards(env, basename, num_shards);
  }

  static int AutoShards(uint64_t num_entries) {
    return std::clamp<int>(static_cast<int>(num_entries / kEntriesPerShard), 1, kMostAutoShards);
  }

  absl::Status WriteEntries(const MultiTable& tables,
                            const std::vector<std::unique_ptr<EmbeddingTable::Locked>>& locked, int shard,
                            int num_shards, const ShardWriter::Append& append, std::vector<TableCount>* counts) const {
    absl::Status status;
    for (int t = 0; t < tables.num_tables() && status.ok(); ++t) {
      counts->push_back({tables.name(t), 0});
      const ExpireConfig& expire = expire_ ? *expire_ : tables.table(t).config().expire;
      locked[t]->ForEach(shard, num_shards, expire, [&](int64_t, const std::string& entry) {
        ++counts->back().num_entries;
        status = append(entry);
        return status.ok();
      });
    }
    return status;
  }

  int num_shards_;
  std::optional<ExpireConfig> expire_;
};

class MultiTableRestoreOp : public MultiTableFileOp {
 public:
  explicit MultiTableRestoreOp(OpKernelConstruction* ctx) : MultiTableFileOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shard_index", &shard_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_shards", &num_shards_));
    OP_REQUIRES(ctx, num_shards_ >= 1 && shard_ >= 0 && shard_ < num_shards_,
                absl::InvalidArgumentError(absl::StrCat("shard_index is ", shard_, " of ", num_shards_,
                                                        " shards; it must lie in [0, num_shards).")));
  }

 private:
  struct Shard {
    std::string data;
    std::vector<TableCount> counts;
  };

  absl::Status Run(Env* env, MultiTable* tables, const std::vector<std::string>& basenames) override {
    if (basenames.empty()) {
      return absl::InvalidArgumentError("basename is empty; give the path of at least one saved table.");
    }
    std::vector<Shard> shards;
    for (const std::string& basename : basenames) TF_RETURN_IF_ERROR(FindShards(env, basename, &shards));
    LogUnplaced(*tables, shards, basenames[0]);
    std::vector<std::unique_ptr<RestoreBatch>> batches;
    for (int t = 0; t < tables->num_tables(); ++t) batches.push_back(tables->table(t).StartRestore());
    TF_RETURN_IF_ERROR(RunOnThreads(env, static_cast<int>(shards.size()),
                                    [&](int i) { return ReadInto(env, *tables, shards[i], batches); }));
    for (int t = 0; t < tables->num_tables(); ++t) tables->table(t).FinishRestore(std::move(batches[t]));
    return absl::OkStatus();
  }

  static absl::Status FindShards(Env* env, const std::string& basename, std::vector<Shard>* shards) {
    std::vector<std::string> data, meta;
    TF_RETURN_IF_ERROR(FindShardFiles(env, basename, &data));
    TF_RETURN_IF_ERROR(FindShardFiles(env, MetaBasename(basename), &meta));
    if (data.size() != meta.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the saved table ", basename, " has ", data.size(),
                                                     " data files and ", meta.size(),
                                                     " metadata files; remove those of the older save."));
    }
    for (size_t i = 0; i < data.size(); ++i) {
      Shard shard{data[i], {}};
      TF_RETURN_IF_ERROR(ReadMetadata(env, meta[i], &shard.counts));
      shards->push_back(std::move(shard));
    }
    return absl::OkStatus();
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
    return ReadShard(env, shard.data, shard.counts, [&](int index, const std::vector<std::string>& records) {
      const int t = tables.IndexOf(shard.counts[index].table);
      if (t < 0) return absl::OkStatus();
      const absl::Status added = ToStatus([&] { batches[t]->Add(records, shard_, num_shards_); });
      return added.ok() ? added : absl::Status(added.code(), absl::StrCat(shard.data, ": ", added.message()));
    });
  }

  int shard_, num_shards_;
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
