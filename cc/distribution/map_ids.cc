// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/map_ids.h"

#include "cc/distribution/key_index.h"

namespace monolith::distribution {

Error LocateIds(const std::vector<Span<const int64_t>>& ids, Span<const int64_t> input,
                std::vector<ShardRow>* located) {
  int64_t total = 0;
  for (const Span<const int64_t>& list : ids) total += list.size;
  KeyIndex index(total);
  std::vector<ShardRow> rows;
  rows.reserve(total);
  for (size_t shard = 0; shard < ids.size(); ++shard) {
    for (int64_t row = 0; row < ids[shard].size; ++row) {
      const int64_t number = index.Insert(ids[shard][row]);
      if (number == static_cast<int64_t>(rows.size())) {
        rows.push_back({static_cast<int32_t>(shard), row});
      }
    }
  }
  located->clear();
  located->reserve(input.size);
  for (int64_t id : input) {
    const int64_t number = index.Lookup(id);
    if (number < 0) {
      return "id " + std::to_string(id) + " of input is in none of the " + std::to_string(ids.size()) +
             " id lists; every id must have been looked up";
    }
    located->push_back(rows[number]);
  }
  return std::nullopt;
}

}  // namespace monolith::distribution
