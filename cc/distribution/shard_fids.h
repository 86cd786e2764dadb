// SPDX-License-Identifier: Apache-2.0
// Deals the fids of a batch out to tables and shards, and notes where each of them will find its embedding.
//
// A list for each table and shard, table by table, has the fids of the table's features that belong to the shard, feature
// by feature. Three arrays say where they went:
//
//   nfl_offset      [features + 1]  of a feature, its first place in feature_offset; bit 31: one place for all rows
//   feature_offset  [places + 1]    of a feature's row, its first place in fid_offset
//   fid_offset      [fids]          number of the list << 32 | first float of the embedding in the list's embeddings
#ifndef MONOLITH_CC_DISTRIBUTION_SHARD_FIDS_H_
#define MONOLITH_CC_DISTRIBUTION_SHARD_FIDS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "cc/distribution/layout_config.h"

namespace monolith::distribution {

constexpr uint32_t kSharedBit = uint32_t{1} << 31;

// The fids of one feature: of row r those from splits[r] to splits[r + 1]. A shared one has one row for the whole batch.
struct FeatureFids {
  const int64_t* fids = nullptr;
  const int64_t* splits = nullptr;
  int64_t rows = 0;
  bool shared = false;
};

struct ShardedFids {
  std::vector<std::vector<int64_t>> fids;        // of each list
  std::vector<std::vector<int64_t>> row_splits;  // of each list, where a feature's fids begin
  std::vector<int32_t> emb_size;                 // of each list, the floats of its embeddings
  std::vector<uint64_t> fid_offset;
  std::vector<int32_t> feature_offset;
  std::vector<uint32_t> nfl_offset;
};

// Runs work(0) to work(units - 1), in any order or at the same time.
using RunWork = std::function<void(int64_t units, const std::function<void(int64_t unit)>& work)>;

// `features` are in the order of config.features. A fid belongs to shard unsigned(fid) mod num_shards. `unique`: a fid
// comes once in a feature's part of a list. `run` gets a unit a feature; the result does not depend on it. Throws
// DataError if the batch does not fit 32-bit offsets.
ShardedFids ShardFids(const LayoutConfig& config, const std::vector<FeatureFids>& features, int num_shards, bool unique,
                      const RunWork& run);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_SHARD_FIDS_H_
