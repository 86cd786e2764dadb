// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/part_keys.h"

#include "cc/hash_table/cpu_features.h"
#include "cc/hash_table/hashing.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace monolith {
namespace {

constexpr int kShardShift = 64 - kIndexShardBits;
constexpr int64_t kLanes = 8;  // keys are stored by so many, of which the last may be none

// A part is shards in a row: the first, and how many.
struct ShardRange {
  uint64_t first;
  uint64_t count;
};
ShardRange ShardsOf(uint64_t part, uint64_t num_parts) {
  const auto first_of = [num_parts](uint64_t p) { return (p * kNumIndexShards + num_parts - 1) / num_parts; };
  return {first_of(part), first_of(part + 1) - first_of(part)};
}

struct Lists {
  uint64_t* hashes;
  int64_t* fids;
  int64_t* positions;
};

// Lists the fids of [begin, end) that lie in `range`; returns how many, and adds their shards to `shards`. There are no
// branches: whose a fid is is no pattern to predict.
int64_t ListPortably(const int64_t* fids, int64_t begin, int64_t end, const ShardRange& range, const Lists& lists,
                     uint64_t* shards) {
  uint64_t seen = 0;
  int64_t size = 0;
  for (int64_t i = begin; i < end; ++i) {
    const uint64_t hash = Mix64(static_cast<uint64_t>(fids[i]));
    const uint64_t shard = hash >> kShardShift;
    const bool own = shard - range.first < range.count;
    lists.hashes[size] = hash;
    lists.fids[size] = fids[i];
    lists.positions[size] = i;
    seen |= uint64_t{own} << shard;
    size += own;
  }
  *shards |= seen;
  return size;
}

#if defined(__x86_64__)
// The same, eight at a time.
MONOLITH_AVX512 int64_t ListAvx512(const int64_t* fids, int64_t begin, int64_t end, const ShardRange& range,
                                   const Lists& lists, uint64_t* shards) {
  typedef uint64_t Words __attribute__((vector_size(64)));
  const Words zero = {}, lanes = {0, 1, 2, 3, 4, 5, 6, 7};
  Words seen = zero;
  int64_t size = 0;
  for (int64_t i = begin; i < end; i += kLanes) {
    const auto there = static_cast<__mmask8>(end - i >= kLanes ? 0xFF : (1u << (end - i)) - 1);
    const __m512i fid = _mm512_maskz_loadu_epi64(there, fids + i);
    auto hash = reinterpret_cast<Words>(fid);
    MixInPlace(hash);
    const Words shard = hash >> kShardShift;
    const auto in_part = reinterpret_cast<__m512i>(shard - range.first < zero + range.count);
    const __mmask8 own = _mm512_movepi64_mask(in_part) & there;
    seen |= reinterpret_cast<Words>(_mm512_maskz_mov_epi64(own, reinterpret_cast<__m512i>((zero + 1) << shard)));
    const Words position = lanes + static_cast<uint64_t>(i);
    const auto append = [own, size](auto* list, __m512i words) MONOLITH_AVX512 {
      _mm512_storeu_si512(list + size, _mm512_maskz_compress_epi64(own, words));
    };
    append(lists.hashes, reinterpret_cast<__m512i>(hash));
    append(lists.fids, fid);
    append(lists.positions, reinterpret_cast<__m512i>(position));
    size += __builtin_popcount(own);
  }
  for (int64_t i = 0; i < kLanes; ++i) *shards |= seen[i];
  return size;
}
#endif

}  // namespace

void PartKeys::MakeRoom(int64_t keys) {
  if (keys <= most_) return;
  most_ = keys;
  const int64_t each = keys + kLanes;
  memory_.reset(new int64_t[3 * each]);
  hashes_ = reinterpret_cast<uint64_t*>(memory_.get());
  fids_ = memory_.get() + each;
  positions_ = fids_ + each;
}

void PartKeys::List(const int64_t* fids, int64_t begin, int64_t end, int part, int num_parts) {
  MakeRoom(end - begin);
  const ShardRange range = ShardsOf(part, num_parts);
  const Lists lists{hashes_, fids_, positions_};
  shards_ = 0;
#if defined(__x86_64__)
  if (CurrentSimdLevel() >= SimdLevel::kAvx512) {
    size_ = ListAvx512(fids, begin, end, range, lists, &shards_);
    return;
  }
#endif
  size_ = ListPortably(fids, begin, end, range, lists, &shards_);
}

}  // namespace monolith
