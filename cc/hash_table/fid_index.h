// SPDX-License-Identifier: Apache-2.0
// The map from fid to entry number: open addressing in 64-byte buckets, read without locks.
//
// Memory. A bucket is one cache line and holds five cells; a probe that ends in its first bucket costs one miss.
//
//      0        8       16       24       32       40    44    48    52    56    60    64
//      | fid 0  | fid 1  | fid 2  | fid 3  | fid 4  | e 0 | e 1 | e 2 | e 3 | e 4 | ctl |
//
//   e i   number of the entry of fid i; 0: the cell is empty; 0xFFFFFFFF: a writer has claimed it and fills it in.
//   ctl   bit 0       locked: a writer works on a key whose home is this bucket
//         bit 1       frozen: growth has copied the bucket; it never changes again
//         bits 2-23   version, one more after every write to a key whose home is this bucket
//         bits 24-31  overflow: how many keys passed this bucket, because it was full, to a cell further on;
//                     255 is sticky. A lookup ends at the first bucket that no key has passed.
//
// Probing. The home of a key is the high half of hash * num_buckets (Lemire's reduction), a full bucket passes the key
// on to the next; some spare buckets follow the last home, so nothing wraps round. Homes grow with the hash: copying
// into a larger array walks both arrays once, front to back, and any size will do. A shard grows 1.4-fold at load 0.8, the
// shards of a table at different times: 19 bytes a key on average (12.8 / 0.8 * 0.4 / ln 1.4), 2.5 moves a key in all.
//
// Locking. The lock and the version of a key's *home* bucket stand for that key wherever its cell is, and for its entry.
//   - A writer locks the home, finds or claims a cell, writes the entry, bumps the version, unlocks.
//     Cells of other buckets are claimed by compare-and-swap, so no writer ever holds two locks.
//   - A reader takes the version, finds the cell, copies the entry, and takes the copy only if the version is unchanged,
//     unlocked, and the array still the current one; else it starts again. It waits for one writer of one bucket at
//     most, never for growth.
//   - Growth (one thread a shard) freezes the buckets front to back, then copies them. A writer that meets a frozen home
//     waits for the new array. Homes before the frontier have no writers any more and writers only ever move forward,
//     so a frozen bucket is final. Readers go on in the old array: the first write after growth needs the new one, and every
//     reader checks that the array is current after it has copied. The old array is freed by epochs (epoch.h).
//
// What a reader may see: for every fid the entry as it was at one instant during the call, whole; nothing relates the
// instants of two fids of a batch.
#ifndef CC_HASH_TABLE_FID_INDEX_H_
#define CC_HASH_TABLE_FID_INDEX_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "cc/hash_table/epoch.h"
#include "cc/hash_table/hashing.h"
#include "cc/hash_table/memory.h"

namespace monolith {

constexpr int kCellsPerBucket = 5;

// The top bits of a fid's hash choose the shard, the rest the home bucket inside it.
constexpr int kIndexShardBits = 4;
constexpr int kNumIndexShards = 1 << kIndexShardBits;

struct HashedFid {
  uint32_t shard;
  uint64_t home;
};

inline HashedFid HashFid(int64_t fid) {
  const uint64_t hash = Mix64(static_cast<uint64_t>(fid));
  return {static_cast<uint32_t>(hash >> (64 - kIndexShardBits)), hash << kIndexShardBits};
}

struct alignas(64) Bucket {
  std::atomic<int64_t> fids[kCellsPerBucket];
  std::atomic<uint32_t> entries[kCellsPerBucket];
  std::atomic<uint32_t> control;
};
static_assert(sizeof(Bucket) == 64, "a bucket is one cache line");

// One shard of the index. Growth, and nothing else, works on a whole shard.
class FidIndex {
 public:
  static constexpr uint32_t kNoEntry = 0;

  // An array of buckets; all zero is empty.
  struct Array {
    Array(uint64_t homes, uint64_t spares);
    Bucket* HomeOf(uint64_t hash) const {
      return buckets + static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * num_homes) >> 64);
    }
    const uint64_t num_homes;
    const uint64_t num_buckets;  // homes and spares
    PageBuffer memory;
    Bucket* const buckets;
  };

  // A reader's view of one key: what Find saw, to be confirmed by Validate after the entry was copied.
  struct Sighting {
    const Array* array;
    const Bucket* home;
    uint32_t control;
    uint32_t entry;  // kNoEntry: absent
  };

  // A writer's lock on one key.
  struct Locked {
    Array* array;
    Bucket* home;
    uint32_t control;
  };

  // `phase` in [0, 1) shifts the sizes at which this shard grows, so that the shards of a table take turns.
  FidIndex(double phase, EpochManager* epochs);
  ~FidIndex();
  FidIndex(const FidIndex&) = delete;
  FidIndex& operator=(const FidIndex&) = delete;

  // Requires for all of these: the caller is inside an epoch guard, and `hash` is HashFid(fid).home.

  void PrefetchHome(uint64_t hash) const { __builtin_prefetch(Current()->HomeOf(hash)); }

  // Looks a key up without a lock. Waits while a writer holds the home bucket.
  Sighting Find(int64_t fid, uint64_t hash) const;

  // Looks a key up as a hint what to prefetch: the answer may be out of date.
  uint32_t Peek(int64_t fid, uint64_t hash) const;

  // True if what was copied since `sighting` is the entry as it stood at one instant.
  bool Validate(const Sighting& sighting) const;

  // Locks a key's home bucket, waiting for other writers and for growth.
  Locked Lock(uint64_t hash);

  // Requires: `locked` is held, for all of these.
  uint32_t FindLocked(const Locked& locked, int64_t fid) const;
  // Returns false when no cell was free: the caller unlocks, calls Grow, and starts again.
  bool InsertLocked(const Locked& locked, int64_t fid, uint32_t entry);
  // Empties the cell of a key that is present.
  void EraseLocked(const Locked& locked, int64_t fid);
  void Unlock(const Locked& locked);
  // Calls visit(fid, entry) for every key whose home is the locked one, in any order.
  void ForEachAtHome(const Locked& locked, const std::function<void(int64_t fid, uint32_t entry)>& visit) const;
  // The smallest hash whose home comes after the locked one; 0 if that is the last.
  uint64_t HashAfterHome(const Locked& locked) const;

  // Grows, unless another thread has replaced `seen` already. Requires: the caller holds no lock of this shard.
  void Grow(const Array* seen);
  // Grows until `num_keys` fit.
  void Reserve(uint64_t num_keys);

  Array* Current() const { return array_.load(std::memory_order_seq_cst); }
  // Keys above which the array in use should grow.
  uint64_t GrowAt() const { return grow_at_.load(std::memory_order_relaxed); }
  uint64_t Bytes() const { return Current()->num_buckets * sizeof(Bucket); }

  // Held against growth by whoever walks the buckets.
  std::mutex& growth_mutex() { return growth_mutex_; }

 private:
  // Replaces `old` by an array of at least `homes` homes. Requires: growth_mutex_ is held. When memory runs out, throws
  // std::bad_alloc and leaves the old array in use.
  void Rebuild(Array* old, uint64_t homes);
  // The array of at least `homes` homes that follows in this shard's sequence of sizes.
  std::unique_ptr<Array> NextArray(uint64_t homes);
  void Publish(std::unique_ptr<Array> next);

  const double phase_;
  EpochManager* const epochs_;
  std::atomic<Array*> array_;
  std::atomic<uint64_t> grow_at_{0};
  std::mutex growth_mutex_;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_FID_INDEX_H_
