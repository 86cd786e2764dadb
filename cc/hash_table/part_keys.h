// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_PART_KEYS_H_
#define CC_HASH_TABLE_PART_KEYS_H_

#include <cstdint>
#include <memory>

namespace monolith {

// Those keys of a batch that belong to one of its parts, in their order.
class PartKeys {
 public:
  // Lists the fids of [begin, end) that belong to part `part` of `num_parts` (PartOfFid), in place of what was listed.
  void List(const int64_t* fids, int64_t begin, int64_t end, int part, int num_parts);

  int64_t size() const { return size_; }
  // The shards of the keys: bit i for shard i.
  uint64_t shards() const { return shards_; }
  const uint64_t* hashes() const { return hashes_; }
  const int64_t* fids() const { return fids_; }
  const int64_t* positions() const { return positions_; }  // in the batch

 private:
  void MakeRoom(int64_t keys);

  int64_t most_ = 0, size_ = 0;
  uint64_t shards_ = 0;
  std::unique_ptr<int64_t[]> memory_;
  uint64_t* hashes_ = nullptr;
  int64_t* fids_ = nullptr;
  int64_t* positions_ = nullptr;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_PART_KEYS_H_
