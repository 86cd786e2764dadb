// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_file_op.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_config_from_proto.h"
#include "tensorflow/core/lib/io/path.h"

namespace monolith {
namespace {

constexpr uint64_t kEntriesPerShard = 1000000;
constexpr uint64_t kMostAutoShards = 4;
constexpr int kMostShards = 99999;  // five digits in file names

}  // namespace

absl::Status SaveSettings::Read(::tensorflow::OpKernelConstruction* ctx) {
  TF_RETURN_IF_ERROR(ctx->GetAttr("nshards", &num_shards));
  if (num_shards > kMostShards) {
    return absl::InvalidArgumentError(absl::StrCat("nshards is ", num_shards, "; it must be at most ", kMostShards,
                                                   ", the most that file names number."));
  }
  std::string config;
  TF_RETURN_IF_ERROR(ctx->GetAttr("slot_expire_time_config", &config));
  if (config.empty()) return absl::OkStatus();
  hash_table::SlotExpireTimeConfig proto;
  if (!proto.ParseFromString(config)) {
    return absl::InvalidArgumentError("slot_expire_time_config is no SlotExpireTimeConfig; serialize one.");
  }
  return ToStatus([&] { expire = ExpireConfigFromProto(proto); });
}

int SaveSettings::NumShards(uint64_t num_entries) const {
  if (num_shards > 0) return num_shards;
  return static_cast<int>(std::clamp<uint64_t>(num_entries / kEntriesPerShard, 1, kMostAutoShards));
}

absl::Status PrepareSave(::tensorflow::Env* env, const std::vector<std::string>& basenames) {
  if (basenames.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat("basename has ", basenames.size(), " elements; save to one."));
  }
  if (basenames[0].empty()) {
    return absl::InvalidArgumentError("basename is empty; give the path in front of the shard suffix.");
  }
  return env->RecursivelyCreateDir(std::string(::tensorflow::io::Dirname(basenames[0])));
}

absl::Status RestoreSettings::Read(::tensorflow::OpKernelConstruction* ctx) {
  TF_RETURN_IF_ERROR(ctx->GetAttr("shard_index", &shard));
  TF_RETURN_IF_ERROR(ctx->GetAttr("num_shards", &num_shards));
  if (num_shards >= 1 && shard >= 0 && shard < num_shards) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("shard_index is ", shard, " of ", num_shards, " shards; it must lie in [0, num_shards)."));
}

absl::Status CheckRestore(const std::vector<std::string>& basenames) {
  if (!basenames.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("basename is empty; give the path of at least one saved table.");
}

}  // namespace monolith
