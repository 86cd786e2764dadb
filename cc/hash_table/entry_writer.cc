// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/entry_writer.h"

#include <array>
#include <utility>

namespace monolith {

void SortByShard(const int64_t* fids, int64_t n, int64_t first, std::vector<BatchKey>* keys) {
  std::array<uint32_t, kNumIndexShards> next{};
  for (int64_t i = 0; i < n; ++i) ++next[HashFid(fids[i]).shard];
  uint32_t begin = 0;
  for (uint32_t& count : next) begin += std::exchange(count, begin);
  keys->resize(n);
  for (int64_t i = 0; i < n; ++i) {
    const HashedFid hash = HashFid(fids[i]);
    (*keys)[next[hash.shard]++] = {fids[i], hash.home, hash.shard, first + i};
  }
}

}  // namespace monolith
