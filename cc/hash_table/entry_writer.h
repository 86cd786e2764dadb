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

// How many keys are written under one holding of their shards: enough for the mutexes to cost nothing, few enough for
// another writer not to wait long.
constexpr int64_t kWrittenTogether = 2048;

// Holds the mutexes of a set of shards. They are taken in order, so two holders never wait for each other.
class ShardsHeld {
 public:
  ShardsHeld(TableStorage* storage, uint64_t shards) : storage_(*storage), shards_(shards) {
    ForEach([](std::mutex& mutex) { mutex.lock(); });
  }
  ~ShardsHeld() {
    ForEach([](std::mutex& mutex) { mutex.unlock(); });
  }
  ShardsHeld(const ShardsHeld&) = delete;
  ShardsHeld& operator=(const ShardsHeld&) = delete;

 private:
  template <typename Do>
  void ForEach(Do what) {
    for (uint64_t left = shards_; left != 0; left &= left - 1) what(storage_.shard(__builtin_ctzll(left)).mutex);
  }

  TableStorage& storage_;
  const uint64_t shards_;
};
static_assert(kNumIndexShards <= 64, "a set of shards is one word");

// Requires: the caller is inside an epoch guard of the storage.
class EntryWriter {
 public:
  // Who gives a new entry its first bytes: the codec's Init, before apply, or apply itself.
  enum class NewEntries { kInitialised, kLeftToApply };

  EntryWriter(const EntryCodec& codec, TableStorage* storage, NewEntries new_entries = NewEntries::kInitialised)
      : codec_(codec),
        storage_(*storage),
        initialise_(new_entries == NewEntries::kInitialised),
        scratch_(kWriteInPlace ? 0 : (codec.value_bytes() + 7) / 8) {}

  // Runs apply(value, state, inserted) on the entry of `fid`, which is initialised first where it is absent; `update_ts`
  // is read after apply, which may change it. Returns false, without calling apply, if the filter did not admit it.
  template <typename Apply>
  bool Write(int64_t fid, const HashedFid& hash, const uint32_t& update_ts, AdmissionFilter* filter,
             int64_t occurrences, Apply apply) {
    TableStorage::Shard& shard = storage_.shard(hash.shard);
    const std::lock_guard<std::mutex> writer(shard.mutex);
    return FindAndWrite(&shard, fid, update_ts, filter, occurrences, apply);
  }

  // Writes a batch: apply(i, value, state, inserted) for every fid that has or gets an entry. fetch(i) comes some keys
  // before it, to prefetch what apply reads. `update_ts` is read after each apply, which may change it.
  template <typename Fetch, typename Apply>
  void WriteEach(const Batch& batch, const uint32_t& update_ts, AdmissionFilter* filter, Fetch fetch, Apply apply) {
    const int64_t piece = kWrittenTogether * batch.num_parts;
    for (int64_t begin = 0; begin < batch.n; begin += piece) {
      const uint64_t shards = ListKeys(batch, begin, std::min(begin + piece, batch.n));
      const ShardsHeld held(&storage_, shards);
      WriteKeys(batch, update_ts, filter, fetch, apply);
    }
  }

 private:
  // A key of a batch. Where its home is now is a hint: the array may be replaced before the shard is held.
  struct Key {
    const FidIndex::Array* array;
    Bucket* home;
    int64_t position;  // in the batch
    uint32_t shard;
  };
  // What was found of a key some keys before its turn.
  struct Ahead {
    FidIndex::Place place;
    EntrySlab::Entry entry;  // if there is one
  };

  // Lists in keys_ the fids of [begin, end) that belong to the batch's part, and returns the set of their shards: bit i
  // for shard i.
  uint64_t ListKeys(const Batch& batch, int64_t begin, int64_t end) {
    uint64_t shards = 0;
    keys_.resize(end - begin);
    Key* next = keys_.data();
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t hash = Mix64(static_cast<uint64_t>(batch.fids[i]));
      const HashedFid hashed = HashedFidOf(hash);
      const FidIndex::Array* array = storage_.shard(hashed.shard).index.Current();
      const bool own = PartOfHash(hash, batch.num_parts) == batch.part;
      *next = {array, array->HomeOf(hashed.home), i, hashed.shard};
      shards |= uint64_t{own} << hashed.shard;
      next += own;  // no branch: whose a fid is is no pattern to predict
    }
    keys_.resize(next - keys_.data());
    return shards;
  }

  // Requires: the shards of keys_ are held.
  template <typename Fetch, typename Apply>
  void WriteKeys(const Batch& batch, const uint32_t& update_ts, AdmissionFilter* filter, Fetch& fetch, Apply& apply) {
    const auto n = static_cast<int64_t>(keys_.size());
    Ahead ring[kRing];
    const auto bring_near = [&](int64_t i) {
      ring[i % kRing] = LocateAhead(keys_[i], batch.fids[keys_[i].position]);
      fetch(keys_[i].position);
    };
    for (int64_t i = 0; i < std::min(kFar, n); ++i) __builtin_prefetch(keys_[i].home, 1);
    for (int64_t i = 0; i < std::min(kNear, n); ++i) bring_near(i);
    for (int64_t i = 0; i < n; ++i) {
      if (i + kFar < n) __builtin_prefetch(keys_[i + kFar].home, 1);
      if (i + kNear < n) bring_near(i + kNear);
      const int64_t at = keys_[i].position;
      WriteAt(&storage_.shard(keys_[i].shard), ring[i % kRing], batch.fids[at], update_ts, filter,
              batch.occurrences == nullptr ? 1 : batch.occurrences[at],
              [&apply, at](char* value, char* state, bool inserted) { apply(at, value, state, inserted); });
    }
  }

  // Requires for the rest: the key's shard is held.

  FidIndex::Place Locate(const Key& key, int64_t fid) {
    const FidIndex& index = storage_.shard(key.shard).index;
    if (index.Current() != key.array) return index.LocateNow(fid, HashFid(fid).home);
    return FidIndex::Locate(*key.array, key.home, fid);
  }

  Ahead LocateAhead(const Key& key, int64_t fid) {
    Ahead ahead{Locate(key, fid), {}};
    if (ahead.place.entry != FidIndex::kNoEntry) {
      ahead.entry = storage_.slab().Find(ahead.place.entry);
      PrefetchBytes(ahead.entry.bytes, codec_.entry_bytes(), true);
      __builtin_prefetch(ahead.entry.stamp, 1);
    }
    return ahead;
  }

  // A key that was there some keys ago still is, in the same entry, and its home too if its array has not been replaced.
  template <typename Apply>
  bool WriteAt(TableStorage::Shard* shard, const Ahead& ahead, int64_t fid, const uint32_t& update_ts,
               AdmissionFilter* filter, int64_t occurrences, Apply apply) {
    if (ahead.place.entry != FidIndex::kNoEntry && ahead.place.array == shard->index.Current()) {
      Update(ahead.place.home, ahead.entry, update_ts, apply);
      return true;
    }
    return FindAndWrite(shard, fid, update_ts, filter, occurrences, apply);
  }

  template <typename Apply>
  bool FindAndWrite(TableStorage::Shard* shard, int64_t fid, const uint32_t& update_ts, AdmissionFilter* filter,
                    int64_t occurrences, Apply& apply) {
    const uint64_t hash = HashFid(fid).home;
    const FidIndex::Place place = shard->index.LocateNow(fid, hash);
    if (place.entry != FidIndex::kNoEntry) {
      Update(place.home, storage_.slab().Find(place.entry), update_ts, apply);
      return true;
    }
    if (filter != nullptr && !filter->Admit(fid, occurrences)) return false;
    Insert(shard, fid, hash, update_ts, apply);
    return true;
  }

  template <typename Apply>
  void Update(Bucket* home, const EntrySlab::Entry& entry, const uint32_t& update_ts, Apply& apply) {
    {
      const FidIndex::Change change(home);
      ChangeShared(entry.bytes, scratch(), codec_.value_bytes(),
                   [&](char* value) { apply(value, entry.bytes + codec_.value_bytes(), false); });
    }
    // Most stamps of a busy entry are equal: their cache line then stays clean.
    if (entry.stamp->load(std::memory_order_relaxed) != update_ts) {
      entry.stamp->store(update_ts, std::memory_order_relaxed);
    }
  }

  template <typename Apply>
  void Insert(TableStorage::Shard* shard, int64_t fid, uint64_t home, const uint32_t& update_ts, Apply& apply) {
    const uint64_t num_keys = shard->num_keys.load(std::memory_order_relaxed);
    const uint32_t number = shard->run.Allocate(num_keys);
    if (const uint32_t next = shard->run.Next()) {  // wanted when this shard inserts again
      PrefetchBytes(storage_.slab().At(next), codec_.entry_bytes(), true);
    }
    bool inserted = false;
    try {
      const EntrySlab::Entry entry = storage_.slab().Find(number);
      char* state = entry.bytes + codec_.value_bytes();
      ChangeShared(entry.bytes, scratch(), codec_.value_bytes(), [&](char* value) {
        if (initialise_) codec_.Init(fid, value, state);
        apply(value, state, true);
      });
      entry.stamp->store(update_ts, std::memory_order_relaxed);
      shard->index.Insert(fid, home, number, num_keys + 1, &inserted);
    } catch (...) {
      if (inserted) {
        shard->num_keys.store(num_keys + 1, std::memory_order_relaxed);
      } else {
        shard->run.Free(number);
      }
      throw;
    }
    shard->num_keys.store(num_keys + 1, std::memory_order_relaxed);
  }

  char* scratch() { return reinterpret_cast<char*>(scratch_.data()); }

  const EntryCodec& codec_;
  TableStorage& storage_;
  const bool initialise_;
  std::vector<Key> keys_;
  std::vector<uint64_t> scratch_;  // a private copy of an entry's value bytes, where entries are not changed in place
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_WRITER_H_
