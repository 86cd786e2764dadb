// SPDX-License-Identifier: Apache-2.0
// The map from fid to entry number: open addressing in 64-byte buckets, written by one thread, read by any without locks.
//
// Memory. A bucket is one cache line and holds five cells; a probe that ends in its first bucket costs one miss.
//
//      0        8       16       24       32       40    44    48    52    56    60    64
//      | fid 0  | fid 1  | fid 2  | fid 3  | fid 4  | e 0 | e 1 | e 2 | e 3 | e 4 | ctl |
//
//   e i   number of the entry of fid i; 0: the cell is empty, whatever its fid says
//   ctl   bit 0       the writer changes or removes an entry whose home is this bucket
//         bits 1-23   version, one more after every such change
//         bits 24-31  overflow: how many keys passed this bucket, because it was full, to a cell further on;
//                     255 is sticky. A lookup ends at the first bucket that no key has passed.
//
// Probing. The home of a key is the high half of hash * num_buckets (Lemire's reduction), a full bucket passes the key
// on to the next; some spare buckets follow the last home, so nothing wraps round. Homes grow with the hash: copying
// into a larger array walks both arrays once, front to back, and any size will do. A shard grows 1.4-fold at load 0.8, the
// shards of a table at different times: 19 bytes a key on average (12.8 / 0.8 * 0.4 / ln 1.4), 2.5 moves a key in all.
// It also grows when a key had to walk far, as keys that come in the order of their hashes make one another do.
//
// Writing. An index is one shard of a table's, and whoever holds the shard's mutex (table_storage.h) is its only writer.
// A batch takes the mutexes of all its shards for some thousand keys at a time (entry_writer.h), so none is taken for a key,
// and no write needs an atomic read-modify-write: on x86-64 and AArch64 everything here is ordinary loads and stores.
//
// Reading. The version of a key's *home* bucket stands for that key wherever its cell is, and for its entry.
//   - The writer sets bit 0 of the homes of a few keys, changes their entries, and clears the bits with the next versions.
//   - A reader takes the version, finds the cell, copies the entry, and takes the copy only if the version is unchanged,
//     bit 0 clear, and the array still the current one; else it starts again.
//   - A new key appears with the store of its entry number, while its home is being changed: readers of it wait for the
//     end of what is done to a new entry.
//   - Growth copies the array and swaps it, with readers going on in the old one: the first write after it needs the new
//     one, and every reader checks after its copy that the array has not been
//     replaced. Epochs (epoch.h) free the old array.
// A reader waits for one change of a few entries at most (entry_writer.h: kGroup), never for growth, an eviction or a save.
//
// What a reader may see: for every fid the entry as it was at one instant during the call, whole; nothing relates the
// instants of two fids of a batch.
#ifndef CC_HASH_TABLE_FID_INDEX_H_
#define CC_HASH_TABLE_FID_INDEX_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "cc/hash_table/epoch.h"
#include "cc/hash_table/hashing.h"
#include "cc/hash_table/memory.h"
#include "cc/hash_table/prefetch.h"

namespace monolith {

constexpr int kCellsPerBucket = 5;
#if defined(__clang__)
#define MONOLITH_UNROLL _Pragma("unroll")
#else
#define MONOLITH_UNROLL _Pragma("GCC unroll 8")
#endif

// The top bits of a fid's hash choose the shard, the rest the home bucket inside it.
struct HashedFid {
  uint32_t shard;
  uint64_t home;
};

inline HashedFid HashedFidOf(uint64_t hash) {
  return {static_cast<uint32_t>(hash >> (64 - kIndexShardBits)), hash << kIndexShardBits};
}
inline HashedFid HashFid(int64_t fid) { return HashedFidOf(Mix64(static_cast<uint64_t>(fid))); }

struct alignas(64) Bucket {
  static constexpr uint32_t kChangingBit = 1u << 0;
  static constexpr uint32_t kVersionUnit = 1u << 1;
  static constexpr uint32_t kVersionMask = (1u << 24) - 1;  // the changing bit included
  static constexpr uint32_t kOverflowUnit = 1u << 24;
  static constexpr uint32_t kOverflowMax = 255;

  std::atomic<int64_t> fids[kCellsPerBucket];
  std::atomic<uint32_t> entries[kCellsPerBucket];
  std::atomic<uint32_t> control;

  bool passed() const { return control.load(std::memory_order_acquire) >= kOverflowUnit; }

  // The entry of `fid` if a cell here holds it, else 0. No branches: where a key lies is no pattern to predict. An empty
  // cell that still shows the fid adds 0. A number is read before its fid: a cell that changes hands in between shows
  // another fid, and one that changed away and back has changed the home's version.
  uint32_t EntryOf(int64_t fid) const {
    uint32_t entry = 0;
    MONOLITH_UNROLL
    for (int c = 0; c < kCellsPerBucket; ++c) {
      const uint32_t number = entries[c].load(std::memory_order_acquire);
      entry |= fids[c].load(std::memory_order_relaxed) == fid ? number : 0;
    }
    return entry;
  }

  // One bit a cell that is empty. Requires: the caller is the writer.
  uint32_t EmptyCells() const {
    uint32_t cells = 0;
    MONOLITH_UNROLL
    for (int c = 0; c < kCellsPerBucket; ++c) {
      cells |= static_cast<uint32_t>(entries[c].load(std::memory_order_relaxed) == 0) << c;
    }
    return cells;
  }

  // Adds `change` to the overflow of the buckets from `home` up to `end`. Requires: the caller is the writer.
  static void AddOverflow(Bucket* home, const Bucket* end, int change) {
    for (Bucket* bucket = home; bucket != end; ++bucket) {
      const uint32_t control = bucket->control.load(std::memory_order_relaxed);
      if (control / kOverflowUnit == kOverflowMax) continue;  // sticky: how many passed is no longer known
      bucket->control.store(control + change * kOverflowUnit, std::memory_order_relaxed);
    }
  }

  // The cell that holds `entry`. Requires: one does, and the caller is the writer.
  int CellOf(uint32_t entry) const {
    int cell = 0;
    while (entries[cell].load(std::memory_order_relaxed) != entry) ++cell;
    return cell;
  }
};
static_assert(sizeof(Bucket) == 64, "a bucket is one cache line");

class FidIndex {
 public:
  static constexpr uint32_t kNoEntry = 0;

  // An array of buckets; all zero is empty.
  struct Array {
    Array(uint64_t homes, uint64_t spares);
    Bucket* HomeOf(uint64_t hash) const {
      return buckets + static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * num_homes) >> 64);
    }
    const Bucket* end() const { return buckets + num_buckets; }

    const uint64_t num_homes;
    const uint64_t num_buckets;  // homes and spares
    PageBuffer memory;
    Bucket* const buckets;
    std::atomic<bool> replaced{false};  // set before the first write to the array after this one
  };

  // Where a key was found; what it says may have changed since, unless the caller is the writer.
  struct Place {
    Bucket* home;
    Bucket* bucket;  // that holds the key
    uint32_t entry;  // kNoEntry: absent
  };

  // A reader's view of one key, to be confirmed after the entry was copied.
  struct Sighting {
    const Array* array;
    const Bucket* home;
    uint32_t control;
    uint32_t entry;  // kNoEntry: absent

    // True if what was copied since is the entry as it stood at one instant.
    bool IsValid() const {
      std::atomic_thread_fence(std::memory_order_acquire);
      return ((home->control.load(std::memory_order_relaxed) ^ control) & Bucket::kVersionMask) == 0 &&
             !array->replaced.load(std::memory_order_relaxed);
    }
  };

  // `phase` in [0, 1) shifts the sizes at which this shard grows, so that the shards of a table take turns.
  FidIndex(double phase, EpochManager* epochs);
  ~FidIndex();
  FidIndex(const FidIndex&) = delete;
  FidIndex& operator=(const FidIndex&) = delete;

  // For readers. Requires for all of these: the caller is inside an epoch guard, `array` was Current() during the call of
  // the table that it serves, and `home` is its home of the fid.

  // Sequentially consistent, as epochs ask: either the retiring writer sees this reader, or the reader the new array.
  const Array* Current() const { return array_.load(std::memory_order_seq_cst); }

  static Place Locate(const Array& array, Bucket* home, int64_t fid) { return Locate(array.end(), home, fid); }
  // The same, with the end of the array.
  static Place Locate(const Bucket* end, Bucket* home, int64_t fid) {
    for (Bucket* bucket = home; bucket != end; ++bucket) {
      const uint32_t entry = bucket->EntryOf(fid);
      if (entry != kNoEntry) return {home, bucket, entry};
      if (!bucket->passed()) break;
    }
    return {home, home, kNoEntry};
  }

  // Looks a key up. Waits while its home's writer is inside a change.
  static Sighting Find(const Array& array, Bucket* home, int64_t fid) {
    const uint32_t control = ControlOf(*home);
    uint32_t entry = home->EntryOf(fid);
    if (MayLieFurther(*home, entry)) entry = Locate(array, home, fid).entry;
    return {&array, home, control, entry};
  }

  // The same in steps, for callers with several keys in hand: most lie in their home bucket, and for the others every
  // further one is a cache miss of its own. After FindEachAtHome, a key that MayLieFurther has the buckets behind its home
  // fetched by FetchNext and its entry found, later, by Locate. Of new keys a third find their home full, and
  // four fifths of those a cell in the three buckets behind it.

  // What a Sighting's `control` is, to be read before the cells.
  static uint32_t ControlOf(const Bucket& home) {
    const uint32_t control = home.control.load(std::memory_order_acquire);
    return control & Bucket::kChangingBit ? AwaitChange(home) : control;
  }
  // The entries of `n` keys that lie in their homes, kNoEntry for the others. A reader has their ControlOf before.
  static void FindEachAtHome(Bucket* const* homes, const int64_t* fids, int n, uint32_t* entries);
  static bool MayLieFurther(const Bucket& home, uint32_t found) { return found == kNoEntry && home.passed(); }
  static void FetchNext(const Bucket* bucket) {
    for (int further = 1; further <= kFetched; ++further) __builtin_prefetch(bucket + further);
    KeepPrefetches();
  }

  // For the writer. Requires for all of these: the caller holds the shard's mutex, and `hash` is HashFid(fid).home.

  // Between the two, readers of a key whose home is `home` take nothing of what they copy. They do not nest. What is
  // stored between them must follow a release fence, which several changes may have in common: then whoever copies it
  // sees the bit, or a later version, when it validates.
  static void BeginChange(Bucket* home) {
    home->control.store(home->control.load(std::memory_order_relaxed) | Bucket::kChangingBit,
                        std::memory_order_relaxed);
  }
  static void EndChange(Bucket* home) {
    const uint32_t control = home->control.load(std::memory_order_relaxed);
    const uint32_t version = (control + Bucket::kChangingBit) & Bucket::kVersionMask;  // the bit, which is set, carries
    home->control.store((control & ~Bucket::kVersionMask) | version, std::memory_order_release);
  }
  static bool IsChanging(const Bucket* home) {
    return (home->control.load(std::memory_order_relaxed) & Bucket::kChangingBit) != 0;
  }

  // A change of one key while this lives.
  class Change {
   public:
    explicit Change(Bucket* home) : home_(home) {
      BeginChange(home);
      std::atomic_thread_fence(std::memory_order_release);
    }
    ~Change() { EndChange(home_); }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    Bucket* const home_;
  };

  Place LocateNow(int64_t fid, uint64_t hash) const {
    const Array& array = *Current();
    return Locate(array, array.HomeOf(hash), fid);
  }
  Bucket* HomeOf(uint64_t hash) const { return Current()->HomeOf(hash); }

  // A home whose version is what it was still has the keys that it had; in a change it has another. None is kNoVersion.
  static constexpr uint32_t kNoVersion = ~0u;
  static uint32_t VersionOf(const Bucket& home) {
    return home.control.load(std::memory_order_relaxed) & Bucket::kVersionMask;
  }

  // An empty cell.
  struct Room {
    Bucket* bucket;  // null: there is none
    int cell;
  };
  // The first one from `home` on.
  static Room RoomFrom(Bucket* home, const Bucket* end) {
    for (Bucket* bucket = home; bucket != end; ++bucket) {
      const uint32_t empty = bucket->EmptyCells();
      if (empty != 0) return {bucket, __builtin_ctz(empty)};
    }
    return {nullptr, 0};
  }
  // Adds a key that is absent where RoomFrom says.
  static void Put(int64_t fid, Bucket* home, const Room& room, uint32_t entry) {
    if (room.bucket != home) Bucket::AddOverflow(home, room.bucket, 1);
    room.bucket->fids[room.cell].store(fid, std::memory_order_relaxed);
    room.bucket->entries[room.cell].store(entry, std::memory_order_release);
  }
  // True if it is time to grow: with `num_keys` keys, or after a key was put so many buckets from its home.
  bool IsFull(uint64_t num_keys) const { return num_keys > grow_at_; }
  bool IsCrowded(int64_t walked, uint64_t num_keys) const;
  // When memory runs out, throws std::bad_alloc and leaves the array as it is. Requires: no key is being changed.
  void Grow() { Rebuild(Current()->num_homes + 1); }
  // Puts a key, and grows when it is time to, or when no cell is free; `num_keys` is how many there are with it. When
  // memory runs out, throws std::bad_alloc; the key is then in the index or not at all, and `*inserted` says which.
  void Insert(int64_t fid, uint64_t hash, uint32_t entry, uint64_t num_keys, bool* inserted);
  // Empties the cell of a key that is present.
  void Erase(const Place& place);
  // Grows until `num_keys` fit.
  void Reserve(uint64_t num_keys);
  // Calls visit(fid, entry) for every key whose home is `home`.
  void ForEachAtHome(const Bucket* home, const std::function<void(int64_t fid, uint32_t entry)>& visit) const;
  // The smallest hash whose home comes after `home`; 0 if that is the last.
  uint64_t HashAfterHome(const Bucket* home) const;

  uint64_t Bytes() const { return Current()->num_buckets * sizeof(Bucket); }
  uint64_t NumCells() const { return Current()->num_buckets * kCellsPerBucket; }

 private:
  static constexpr int kFetched = 3;

  static uint32_t AwaitChange(const Bucket& home);
  // Replaces the array by one of at least `homes` homes. When memory runs out, throws std::bad_alloc and leaves the old
  // array in use.
  void Rebuild(uint64_t homes);
  // The array of at least `homes` homes that follows in this shard's sequence of sizes.
  std::unique_ptr<Array> NextArray(uint64_t homes) const;
  void Publish(std::unique_ptr<Array> next);

  const double phase_;
  EpochManager* const epochs_;
  std::atomic<Array*> array_{nullptr};
  uint64_t grow_at_ = 0;  // the writer's: keys above which the array should grow
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_FID_INDEX_H_
