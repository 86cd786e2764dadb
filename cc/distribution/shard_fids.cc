// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/shard_fids.h"

#include <limits>
#include <memory>

#include "cc/data/data_error.h"
#include "cc/distribution/key_index.h"

namespace monolith::distribution {
namespace {

class Sharder {
 public:
  Sharder(const LayoutConfig& config, int num_shards, bool unique)
      : num_shards_(num_shards), unique_(unique), floats_(config.tables.size() * num_shards, 0) {
    result_.fids.resize(floats_.size());
    result_.row_splits.resize(floats_.size(), {0});
  }

  void Add(const LayoutFeature& feature, const FeatureFids& rows) {
    result_.nfl_offset.push_back(static_cast<uint32_t>(result_.feature_offset.size()) | (rows.shared ? kSharedBit : 0));
    const int64_t begin = rows.splits[0], end = rows.splits[rows.rows];
    if (unique_) {
      seen_ = std::make_unique<KeyIndex>(end - begin);
      offsets_.clear();
    }
    for (int64_t row = 0; row < rows.rows; ++row) {
      result_.feature_offset.push_back(static_cast<int32_t>(result_.fid_offset.size()));
      for (int64_t i = rows.splits[row]; i < rows.splits[row + 1]; ++i) {
        result_.fid_offset.push_back(OffsetOf(feature, rows.fids[i]));
      }
    }
    for (int shard = 0; shard < num_shards_; ++shard) {
      const int list = feature.table * num_shards_ + shard;
      result_.row_splits[list].push_back(static_cast<int64_t>(result_.fids[list].size()));
    }
  }

  ShardedFids Finish() {
    result_.feature_offset.push_back(static_cast<int32_t>(result_.fid_offset.size()));
    result_.nfl_offset.push_back(static_cast<uint32_t>(result_.feature_offset.size()));
    for (const int64_t floats : floats_) {
      if (floats > std::numeric_limits<int32_t>::max()) {
        throw DataError(DataError::Code::kInvalidArgument, "the embeddings of one table and shard have " +
                                                               std::to_string(floats) +
                                                               " floats; make the batch smaller: 2^31 is the end.");
      }
      result_.emb_size.push_back(static_cast<int32_t>(floats));
    }
    return std::move(result_);
  }

 private:
  uint64_t OffsetOf(const LayoutFeature& feature, int64_t fid) {
    if (!unique_) return Append(feature, fid);
    const int64_t number = seen_->Insert(fid);
    if (number == static_cast<int64_t>(offsets_.size())) offsets_.push_back(Append(feature, fid));
    return offsets_[number];
  }

  uint64_t Append(const LayoutFeature& feature, int64_t fid) {
    const auto shard = static_cast<int>(static_cast<uint64_t>(fid) % num_shards_);
    const int list = feature.table * num_shards_ + shard;
    const uint64_t offset = static_cast<uint64_t>(list) << 32 | static_cast<uint64_t>(floats_[list]);
    floats_[list] += feature.width;
    result_.fids[list].push_back(fid);
    return offset;
  }

  const int num_shards_;
  const bool unique_;
  std::vector<int64_t> floats_;  // of each list so far
  std::unique_ptr<KeyIndex> seen_;
  std::vector<uint64_t> offsets_;  // of the feature's distinct fids
  ShardedFids result_;
};

}  // namespace

ShardedFids ShardFids(const LayoutConfig& config, const std::vector<FeatureFids>& features, int num_shards,
                      bool unique) {
  int64_t num_fids = 0;
  for (const FeatureFids& feature : features) num_fids += feature.splits[feature.rows] - feature.splits[0];
  if (num_fids > std::numeric_limits<int32_t>::max()) {
    throw DataError(DataError::Code::kInvalidArgument,
                    std::to_string(num_fids) + " fids in one batch; make it smaller: 2^31 is the end.");
  }
  Sharder sharder(config, num_shards, unique);
  for (size_t f = 0; f < features.size(); ++f) sharder.Add(config.features[f], features[f]);
  return sharder.Finish();
}

}  // namespace monolith::distribution
