// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/shard_fids.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "cc/data/data_error.h"
#include "cc/distribution/key_index.h"

namespace monolith::distribution {
namespace {

constexpr int64_t kMostOffsets = std::numeric_limits<int32_t>::max();

[[noreturn]] void Refuse(const std::string& message) { throw DataError(DataError::Code::kInvalidArgument, message); }

// Features are dealt out by themselves, each into parts of its own; then the parts get their places in the lists, and
// move there.
class Sharder {
 public:
  Sharder(const LayoutConfig& config, const std::vector<FeatureFids>& features, int num_shards, bool unique)
      : config_(config), features_(features), num_shards_(num_shards), unique_(unique) {
    parts_.resize(features.size() * num_shards);
    int64_t places = 0, num_fids = 0;
    for (const FeatureFids& rows : features) {
      first_place_.push_back(places);
      first_fid_.push_back(num_fids);
      result_.nfl_offset.push_back(static_cast<uint32_t>(places) | (rows.shared ? kSharedBit : 0));
      places += rows.rows;
      num_fids += rows.splits[rows.rows] - rows.splits[0];
    }
    if (num_fids > kMostOffsets)
      Refuse(std::to_string(num_fids) + " fids in one batch; make it smaller: 2^31 is the end.");
    result_.nfl_offset.push_back(static_cast<uint32_t>(places + 1));  // the length of feature_offset
    result_.feature_offset.resize(places + 1);
    result_.feature_offset[places] = static_cast<int32_t>(num_fids);
    result_.fid_offset.resize(num_fids);
  }

  // Fills the parts of feature f. Until `Move`, fid_offset says shard << 32 | number of the fid in its part.
  void Deal(int64_t f) {
    const FeatureFids& rows = features_[f];
    const int64_t begin = rows.splits[0], size = rows.splits[rows.rows] - begin;
    for (int64_t row = 0; row < rows.rows; ++row) {
      result_.feature_offset[first_place_[f] + row] = static_cast<int32_t>(first_fid_[f] + rows.splits[row] - begin);
    }
    const int64_t* fids = rows.fids + begin;
    uint64_t* offsets = result_.fid_offset.data() + first_fid_[f];
    if (!unique_) {
      for (int64_t i = 0; i < size; ++i) offsets[i] = Append(f, fids[i]);
      return;
    }
    KeyIndex seen(size);
    std::vector<uint64_t> known;  // of the distinct fids
    for (int64_t i = 0; i < size; ++i) {
      const int64_t number = seen.Insert(fids[i]);
      if (number == static_cast<int64_t>(known.size())) known.push_back(Append(f, fids[i]));
      offsets[i] = known[number];
    }
  }

  // Gives every part its place in its list, feature by feature.
  void Place() {
    std::vector<int64_t> sizes(config_.tables.size() * num_shards_, 0), floats(sizes.size(), 0);
    result_.row_splits.resize(sizes.size(), {0});
    for (size_t f = 0; f < features_.size(); ++f) {
      for (int shard = 0; shard < num_shards_; ++shard) {
        Part& part = parts_[f * num_shards_ + shard];
        part.list = config_.features[f].table * num_shards_ + shard;
        part.first = sizes[part.list];
        part.first_float = floats[part.list];
        sizes[part.list] += static_cast<int64_t>(part.fids.size());
        floats[part.list] += static_cast<int64_t>(part.fids.size()) * config_.features[f].width;
        result_.row_splits[part.list].push_back(sizes[part.list]);
      }
    }
    for (const int64_t size : sizes) result_.fids.emplace_back(size);
    for (const int64_t count : floats) {
      if (count > kMostOffsets) {
        Refuse("the embeddings of one table and shard have " + std::to_string(count) +
               " floats; make the batch smaller: 2^31 is the end.");
      }
      result_.emb_size.push_back(static_cast<int32_t>(count));
    }
  }

  // Moves the parts of feature f into the lists.
  void Move(int64_t f) {
    const Part* parts = parts_.data() + f * num_shards_;
    for (int shard = 0; shard < num_shards_; ++shard) {
      const Part& part = parts[shard];
      std::copy(part.fids.begin(), part.fids.end(), result_.fids[part.list].begin() + part.first);
    }
    const int64_t end = f + 1 < static_cast<int64_t>(first_fid_.size())
                            ? first_fid_[f + 1]
                            : static_cast<int64_t>(result_.fid_offset.size());
    const int64_t width = config_.features[f].width;
    for (int64_t i = first_fid_[f]; i < end; ++i) {
      uint64_t& offset = result_.fid_offset[i];
      const Part& part = parts[offset >> 32];
      offset = static_cast<uint64_t>(part.list) << 32 |
               static_cast<uint64_t>(part.first_float + static_cast<uint32_t>(offset) * width);
    }
  }

  ShardedFids Finish() { return std::move(result_); }

 private:
  // The fids of one feature and shard.
  struct Part {
    std::vector<int64_t> fids;
    int list = 0;
    int64_t first = 0, first_float = 0;  // in the list
  };

  uint64_t Append(int64_t f, int64_t fid) {
    const uint64_t shard = static_cast<uint64_t>(fid) % num_shards_;
    std::vector<int64_t>& fids = parts_[f * num_shards_ + shard].fids;
    fids.push_back(fid);
    return shard << 32 | (fids.size() - 1);
  }

  const LayoutConfig& config_;
  const std::vector<FeatureFids>& features_;
  const int num_shards_;
  const bool unique_;
  std::vector<int64_t> first_place_, first_fid_;  // of each feature, in feature_offset and in fid_offset
  std::vector<Part> parts_;                       // of each feature and shard
  ShardedFids result_;
};

}  // namespace

ShardedFids ShardFids(const LayoutConfig& config, const std::vector<FeatureFids>& features, int num_shards, bool unique,
                      const RunWork& run) {
  Sharder sharder(config, features, num_shards, unique);
  const auto units = static_cast<int64_t>(features.size());
  run(units, [&](int64_t f) { sharder.Deal(f); });
  sharder.Place();
  run(units, [&](int64_t f) { sharder.Move(f); });
  return sharder.Finish();
}

}  // namespace monolith::distribution
