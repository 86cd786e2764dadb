// SPDX-License-Identifier: Apache-2.0
// The one write path: find or insert a fid, and run a caller's function on its entry under the key's lock.
#ifndef CC_HASH_TABLE_ENTRY_WRITER_H_
#define CC_HASH_TABLE_ENTRY_WRITER_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "cc/hash_table/embedding_table.h"
#include "cc/hash_table/entry_codec.h"
#include "cc/hash_table/relaxed_memory.h"
#include "cc/hash_table/table_storage.h"

namespace monolith {

// Distances of the prefetch pipeline, in keys; measured on 1M and 10M keys, flat between 8 and 32.
constexpr int64_t kFar = 24;
constexpr int64_t kNear = 12;
constexpr int64_t kRing = 32;  // a power of two above kFar

// Prefetches every cache line of [at, at + bytes), up to where the hardware's own prefetcher has caught on.
inline void PrefetchBytes(const char* at, size_t bytes, bool for_write) {
  constexpr uintptr_t kLine = 64, kMost = 1024;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(at) / kLine * kLine;
  const uintptr_t end = reinterpret_cast<uintptr_t>(at) + std::min<size_t>(bytes, kMost);
  for (uintptr_t line = begin; line < end; line += kLine) {
    if (for_write) {
      __builtin_prefetch(reinterpret_cast<const char*>(line), 1);
    } else {
      __builtin_prefetch(reinterpret_cast<const char*>(line), 0);
    }
  }
}

inline uint32_t ClampTime(int64_t seconds) {
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, std::numeric_limits<uint32_t>::max()));
}

// Requires: the caller is inside an epoch guard of the storage.
class EntryWriter {
 public:
  EntryWriter(const EntryCodec& codec, TableStorage* storage)
      : codec_(codec), storage_(*storage), scratch_((codec.value_bytes() + 7) / 8) {}

  // Runs apply(value, state, inserted) on the entry of `fid`, which is initialised first where it is absent; `value` is
  // a private copy that is stored afterwards, and `update_ts` is read after apply, which may change it. Returns false, without calling apply, if the filter did not admit it.
  template <typename Apply>
  bool Write(int64_t fid, const HashedFid& hash, const uint32_t& update_ts, AdmissionFilter* filter,
             int64_t occurrences, Apply apply) {
    TableStorage::Shard& shard = storage_.shard(hash.shard);
    while (true) {
      const FidIndex::Array* array;
      {
        const KeyLock lock(&shard.index, hash.home);
        array = lock.locked.array;
        const uint32_t entry = shard.index.FindLocked(lock.locked, fid);
        if (entry != FidIndex::kNoEntry) {
          Update(&shard, entry, update_ts, apply);
          return true;
        }
        if (filter != nullptr && !filter->Admit(fid, occurrences)) return false;
        filter = nullptr;  // admitted: not to be counted again if the index must grow first
        if (Insert(&shard, lock.locked, fid, update_ts, apply)) {
          if (shard.num_keys.load(std::memory_order_relaxed) <= shard.index.GrowAt()) return true;
          array = nullptr;  // inserted, and time to grow
        }
      }
      shard.index.Grow(array != nullptr ? array : shard.index.Current());
      if (array == nullptr) return true;
    }
  }

  // Writes a batch: apply(i, value, state, inserted) for every fid that has or gets an entry.
  template <typename Apply>
  void WriteEach(const int64_t* fids, int64_t n, uint32_t update_ts, AdmissionFilter* filter,
                 const int64_t* occurrences, Apply apply) {
    HashedFid ring[kRing];
    for (int64_t i = 0; i < n + kFar; ++i) {
      if (i < n) {
        ring[i % kRing] = HashFid(fids[i]);
        storage_.shard(ring[i % kRing].shard).index.PrefetchHome(ring[i % kRing].home);
      }
      const int64_t near = i - (kFar - kNear);
      if (near >= 0 && near < n) PrefetchEntry(fids[near], ring[near % kRing]);
      const int64_t now = i - kFar;
      if (now < 0) continue;
      Write(fids[now], ring[now % kRing], update_ts, filter, occurrences == nullptr ? 1 : occurrences[now],
            [&apply, now](char* value, char* state, bool inserted) { apply(now, value, state, inserted); });
    }
  }

 private:
  // Holds the lock of one key's home bucket.
  struct KeyLock {
    KeyLock(FidIndex* index, uint64_t home) : index(index), locked(index->Lock(home)) {}
    ~KeyLock() { index->Unlock(locked); }
    KeyLock(const KeyLock&) = delete;
    KeyLock& operator=(const KeyLock&) = delete;
    FidIndex* const index;
    const FidIndex::Locked locked;
  };

  void PrefetchEntry(int64_t fid, const HashedFid& hash) {
    TableStorage::Shard& shard = storage_.shard(hash.shard);
    const uint32_t entry = shard.index.Peek(fid, hash.home);
    if (entry == FidIndex::kNoEntry) return;
    PrefetchBytes(shard.slab.At(entry), codec_.entry_bytes(), true);
    __builtin_prefetch(shard.slab.StampAt(entry), 1);
  }

  template <typename Apply>
  void Update(TableStorage::Shard* shard, uint32_t entry, const uint32_t& update_ts, Apply& apply) {
    char* bytes = shard->slab.At(entry);
    LoadShared(value(), bytes, codec_.value_bytes());
    apply(value(), bytes + codec_.value_bytes(), false);
    StoreShared(bytes, value(), codec_.value_bytes());
    shard->slab.StampAt(entry)->store(update_ts, std::memory_order_relaxed);
  }

  // Returns false, with nothing changed, when the index has no room.
  template <typename Apply>
  bool Insert(TableStorage::Shard* shard, const FidIndex::Locked& locked, int64_t fid, const uint32_t& update_ts,
              Apply& apply) {
    SlabEntry entry(&shard->slab);
    char* bytes = shard->slab.At(entry.number);
    codec_.Init(fid, value(), bytes + codec_.value_bytes());
    apply(value(), bytes + codec_.value_bytes(), true);
    StoreShared(bytes, value(), codec_.value_bytes());
    shard->slab.StampAt(entry.number)->store(update_ts, std::memory_order_relaxed);
    if (!shard->index.InsertLocked(locked, fid, entry.number)) return false;
    entry.kept = true;
    shard->num_keys.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  // Gives a fresh entry back unless it was kept.
  struct SlabEntry {
    explicit SlabEntry(EntrySlab* slab) : slab(slab), number(slab->Allocate()) {}
    ~SlabEntry() {
      if (!kept) slab->Free(number);
    }
    SlabEntry(const SlabEntry&) = delete;
    SlabEntry& operator=(const SlabEntry&) = delete;
    EntrySlab* const slab;
    const uint32_t number;
    bool kept = false;
  };

  char* value() { return reinterpret_cast<char*>(scratch_.data()); }

  const EntryCodec& codec_;
  TableStorage& storage_;
  std::vector<uint64_t> scratch_;  // the private copy of an entry's value bytes
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_WRITER_H_
