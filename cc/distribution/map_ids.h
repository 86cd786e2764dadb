// SPDX-License-Identifier: Apache-2.0
// Puts embeddings that came back from several shards into the order in which the ids were asked.
#ifndef MONOLITH_CC_DISTRIBUTION_MAP_IDS_H_
#define MONOLITH_CC_DISTRIBUTION_MAP_IDS_H_

#include <vector>

#include "cc/distribution/span.h"

namespace monolith::distribution {

// A row of one shard's list.
struct ShardRow {
  int32_t shard;
  int64_t row;
};

// Where each id of `input` lies in `ids`, a list a shard; the first occurrence wins.
// An id that no shard has is an error that names it.
Error LocateIds(const std::vector<Span<const int64_t>>& ids, Span<const int64_t> input, std::vector<ShardRow>* located);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_MAP_IDS_H_
