// SPDX-License-Identifier: Apache-2.0
// The one write path: find or insert a fid, and run a caller's function on its entry as the shard's writer.
#ifndef CC_HASH_TABLE_ENTRY_WRITER_H_
#define CC_HASH_TABLE_ENTRY_WRITER_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <mutex>
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

// A key of a batch, ready to be written.
struct BatchKey {
  int64_t fid;
  uint64_t home;  // HashedFid::home
  uint32_t shard;
  int64_t position;  // in the batch
};

// How many keys of a batch are sorted at a time: enough for a shard's mutex to be cheap, few enough for what belongs to
// them to stay in the cache.
constexpr int64_t kSortedTogether = 4096;

// Lists `n` fids of a batch shard by shard; those of a shard stay in the batch's order, and so do all occurrences of a
// fid. `first` is the position of the first one.
void SortByShard(const int64_t* fids, int64_t n, int64_t first, std::vector<BatchKey>* keys);

// Requires: the caller is inside an epoch guard of the storage.
class EntryWriter {
 public:
  EntryWriter(const EntryCodec& codec, TableStorage* storage)
      : codec_(codec), storage_(*storage), scratch_(kWriteInPlace ? 0 : (codec.value_bytes() + 7) / 8) {}

  // Runs apply(value, state, inserted) on the entry of `fid`, which is initialised first where it is absent; `update_ts`
  // is read after apply, which may change it. Returns false, without calling apply, if the filter did not admit it.
  template <typename Apply>
  bool Write(int64_t fid, const HashedFid& hash, const uint32_t& update_ts, AdmissionFilter* filter,
             int64_t occurrences, Apply apply) {
    TableStorage::Shard& shard = storage_.shard(hash.shard);
    const std::lock_guard<std::mutex> writer(shard.mutex);
    return WriteAt(&shard, shard.index.LocateNow(fid, hash.home), fid, hash.home, update_ts, filter, occurrences,
                   apply);
  }

  // Writes a batch: apply(i, value, state, inserted) for every fid that has or gets an entry. fetch(i) comes some keys
  // before it, to prefetch what apply reads.
  template <typename Fetch, typename Apply>
  void WriteEach(const int64_t* fids, int64_t n, uint32_t update_ts, AdmissionFilter* filter,
                 const int64_t* occurrences, Fetch fetch, Apply apply) {
    for (int64_t begin = 0; begin < n; begin += kSortedTogether) {
      SortByShard(fids + begin, std::min(kSortedTogether, n - begin), begin, &keys_);
      WriteSorted(update_ts, filter, occurrences, fetch, apply);
    }
  }

 private:
  template <typename Fetch, typename Apply>
  void WriteSorted(uint32_t update_ts, AdmissionFilter* filter, const int64_t* occurrences, Fetch& fetch,
                   Apply& apply) {
    const auto n = static_cast<int64_t>(keys_.size());
    FidIndex::Place ring[kRing];
    for (int64_t i = 0; i < std::min(kFar, n); ++i) PrefetchHome(keys_[i]);
    const auto bring_near = [&](int64_t i) {
      ring[i % kRing] = LocateAhead(keys_[i]);
      fetch(keys_[i].position);
    };
    for (int64_t i = 0; i < std::min(kNear, n); ++i) bring_near(i);
    for (int64_t i = 0; i < n;) {
      TableStorage::Shard& shard = storage_.shard(keys_[i].shard);
      const std::lock_guard<std::mutex> writer(shard.mutex);
      for (const uint32_t own = keys_[i].shard; i < n && keys_[i].shard == own; ++i) {
        if (i + kFar < n) PrefetchHome(keys_[i + kFar]);
        if (i + kNear < n) bring_near(i + kNear);
        const int64_t at = keys_[i].position;
        WriteAt(&shard, ring[i % kRing], keys_[i].fid, keys_[i].home, update_ts, filter,
                occurrences == nullptr ? 1 : occurrences[at],
                [&apply, at](char* value, char* state, bool inserted) { apply(at, value, state, inserted); });
      }
    }
  }

  void PrefetchHome(const BatchKey& key) { __builtin_prefetch(storage_.shard(key.shard).index.HomeOf(key.home), 1); }

  // Where a key is now: a hint, for its shard may be another thread's, or have changed when its turn comes.
  FidIndex::Place LocateAhead(const BatchKey& key) {
    const FidIndex::Place place = storage_.shard(key.shard).index.LocateNow(key.fid, key.home);
    if (place.entry != FidIndex::kNoEntry) {
      PrefetchBytes(storage_.slab().At(place.entry), codec_.entry_bytes(), true);
      __builtin_prefetch(storage_.slab().StampAt(place.entry), 1);
    }
    return place;
  }

  // Requires: the shard's mutex is held.
  template <typename Apply>
  bool WriteAt(TableStorage::Shard* shard, FidIndex::Place place, int64_t fid, uint64_t home, const uint32_t& update_ts,
               AdmissionFilter* filter, int64_t occurrences, Apply apply) {
    if (!shard->index.IsCurrent(place, fid)) place = shard->index.LocateNow(fid, home);
    if (place.entry != FidIndex::kNoEntry) {
      Update(place, home, update_ts, apply);
      return true;
    }
    if (filter != nullptr && !filter->Admit(fid, occurrences)) return false;
    Insert(shard, fid, home, update_ts, apply);
    return true;
  }

  template <typename Apply>
  void Update(const FidIndex::Place& place, uint64_t home, const uint32_t& update_ts, Apply& apply) {
    char* bytes = storage_.slab().At(place.entry);
    {
      const FidIndex::Change change(place.array->HomeOf(home));
      ChangeShared(bytes, scratch(), codec_.value_bytes(),
                   [&](char* value) { apply(value, bytes + codec_.value_bytes(), false); });
    }
    storage_.slab().StampAt(place.entry)->store(update_ts, std::memory_order_relaxed);
  }

  template <typename Apply>
  void Insert(TableStorage::Shard* shard, int64_t fid, uint64_t home, const uint32_t& update_ts, Apply& apply) {
    const uint64_t num_keys = shard->num_keys.load(std::memory_order_relaxed);
    const uint32_t entry = shard->run.Allocate(num_keys);
    bool inserted = false;
    try {
      char* bytes = storage_.slab().At(entry);
      char* state = bytes + codec_.value_bytes();
      ChangeShared(bytes, scratch(), codec_.value_bytes(), [&](char* value) {
        codec_.Init(fid, value, state);
        apply(value, state, true);
      });
      storage_.slab().StampAt(entry)->store(update_ts, std::memory_order_relaxed);
      shard->index.Insert(fid, home, entry, num_keys + 1, &inserted);
    } catch (...) {
      if (inserted) {
        shard->num_keys.store(num_keys + 1, std::memory_order_relaxed);
      } else {
        shard->run.Free(entry);
      }
      throw;
    }
    shard->num_keys.store(num_keys + 1, std::memory_order_relaxed);
  }

  char* scratch() { return reinterpret_cast<char*>(scratch_.data()); }

  const EntryCodec& codec_;
  TableStorage& storage_;
  std::vector<BatchKey> keys_;
  std::vector<uint64_t> scratch_;  // a private copy of an entry's value bytes, where entries are not changed in place
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_WRITER_H_
