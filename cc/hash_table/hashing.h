// SPDX-License-Identifier: Apache-2.0
// Fids, their slots, and the one hash of the library.
#ifndef CC_HASH_TABLE_HASHING_H_
#define CC_HASH_TABLE_HASHING_H_

#include <cstdint>

#include "cc/hash_table/cpu_features.h"

namespace monolith {

// Murmur3's 64-bit finaliser (Appleby): a bijection, so distinct fids never share a full hash. Of a number in place, or of
// every number in a vector.
template <typename Word>
MONOLITH_INLINE void MixInPlace(Word& x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
}
inline uint64_t Mix64(uint64_t x) {
  MixInPlace(x);
  return x;
}

// The top bits of a fid's hash choose the shard of a table's index that it lies in (table_storage.h).
constexpr int kIndexShardBits = 6;
constexpr int kNumIndexShards = 1 << kIndexShardBits;

// The part, of `num_parts`, that a fid belongs to when a batch is divided among threads. A part is whole shards, so that
// no two threads write to one.
inline int PartOfHash(uint64_t hash, int num_parts) {
  return static_cast<int>(((hash >> (64 - kIndexShardBits)) * num_parts) >> kIndexShardBits);
}
inline int PartOfFid(int64_t fid, int num_parts) { return PartOfHash(Mix64(static_cast<uint64_t>(fid)), num_parts); }

// The feature field of a version-2 fid: bits 48 to 62; bit 63 is ignored.
inline uint32_t SlotOfFid(int64_t fid) { return (static_cast<uint64_t>(fid) >> 48) & 0x7FFF; }

// The feature field of a version-1 fid: the upper 10 bits.
inline uint32_t SlotOfVersion1Fid(int64_t fid) { return static_cast<uint32_t>(static_cast<uint64_t>(fid) >> 54); }

constexpr uint32_t kNumSlots = 1u << 15;

// The shard a fid belongs to, by the one rule of the library: unsigned(fid) mod num_shards.
inline uint64_t ShardOfFid(int64_t fid, uint64_t num_shards) { return static_cast<uint64_t>(fid) % num_shards; }

}  // namespace monolith

#endif  // CC_HASH_TABLE_HASHING_H_
