// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/entry_writer.h"

#include <array>
#include <utility>

namespace monolith {

std::vector<BatchKey> SortByShard(const int64_t* fids, int64_t n) {
  std::vector<HashedFid> hashes(n);
  std::array<uint32_t, kNumIndexShards> next{};
  for (int64_t i = 0; i < n; ++i) {
    hashes[i] = HashFid(fids[i]);
    ++next[hashes[i].shard];
  }
  uint32_t begin = 0;
  for (uint32_t& count : next) begin += std::exchange(count, begin);
  std::vector<BatchKey> keys(n);
  for (int64_t i = 0; i < n; ++i) {
    keys[next[hashes[i].shard]++] = {fids[i], hashes[i].home, hashes[i].shard, static_cast<uint32_t>(i)};
  }
  return keys;
}

}  // namespace monolith
