// SPDX-License-Identifier: Apache-2.0
// The one write path: find or insert a fid, and run a caller's function on its entry as the shard's writer.
#ifndef CC_HASH_TABLE_ENTRY_WRITER_H_
#define CC_HASH_TABLE_ENTRY_WRITER_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "cc/hash_table/embedding_table.h"
#include "cc/hash_table/entry_codec.h"
#include "cc/hash_table/relaxed_memory.h"
#include "cc/hash_table/table_storage.h"

namespace monolith {

// Distances of the prefetch pipeline, in keys: a home bucket is fetched kFar keys ahead of its use, an entry kNear. A key
// that may lie beyond its home is looked for there kNext keys ahead.
constexpr uint64_t kFar = 28;
constexpr uint64_t kNear = 18;
constexpr uint64_t kNext = 9;
constexpr uint64_t kRing = 32;  // a power of two above kFar
// Keys whose entries are changed together.
constexpr int kGroup = 16;
static_assert(kGroup <= EntryCodec::kMostSteps, "a group takes its steps in one call");

// Prefetches the cache lines of [at, at + bytes), up to where the hardware's own prefetcher has caught on.
inline void PrefetchBytes(const char* at, size_t bytes, bool for_write) {
  constexpr size_t kLine = 64, kMost = 1024;
  const size_t size = std::min(bytes, kMost);
  for (size_t b = 0; b < size; b += kLine) {
    if (for_write) {
      __builtin_prefetch(at + b, 1);
    } else {
      __builtin_prefetch(at + b, 0);
    }
  }
  __builtin_prefetch(at + size - 1, 0);  // of one more line, unless the bytes begin where a line does
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

// An entry in its writer's hands.
struct WrittenEntry {
  int64_t position;  // of its fid in the batch
  char* value;       // the value bytes, or a private copy of them (relaxed_memory.h)
  char* state;
  std::atomic<uint32_t>* stamp;  // the update time so far, unless inserted
  uint32_t update_ts;            // the entry gets it afterwards; whoever changes the entry may choose another
  bool inserted;
};

// Requires: the caller is inside an epoch guard of the storage.
//
// Keys are written in groups. A group has no two keys with one home: each home is then changed once, and no entry is there
// twice. Nothing grows between the beginning of a group and its end.
class EntryWriter {
 public:
  // Who gives a new entry its first bytes: the codec's Init, before apply, or apply itself.
  enum class NewEntries { kInitialised, kLeftToApply };

  EntryWriter(const EntryCodec& codec, TableStorage* storage, NewEntries new_entries = NewEntries::kInitialised)
      : codec_(codec),
        storage_(*storage),
        slab_(storage->slab()),
        entry_bytes_(codec.entry_bytes()),
        value_bytes_(codec.value_bytes()),
        initialise_(new_entries == NewEntries::kInitialised),
        run_(storage->BorrowRun()),
        scratch_words_(kWriteInPlace ? 0 : (codec.value_bytes() + 7) / 8),
        scratch_(kGroup * scratch_words_) {}
  ~EntryWriter() { storage_.ReturnRun(run_); }
  EntryWriter(const EntryWriter&) = delete;
  EntryWriter& operator=(const EntryWriter&) = delete;

  // Writes a batch: apply(entries, n) for groups of all fids that have an entry, or get one because the filter admits
  // them; new ones are initialised before. fetch(i) comes some keys before the fid at position i is applied, to prefetch
  // what that reads. Occurrences of one fid are applied in their order.
  template <typename Fetch, typename Apply>
  void WriteEach(const Batch& batch, uint32_t update_ts, AdmissionFilter* filter, Fetch fetch, Apply apply) {
    const int64_t piece = kWrittenTogether * batch.num_parts;
    for (int64_t begin = 0; begin < batch.n; begin += piece) {
      const uint64_t shards = ListKeys(batch, begin, std::min(begin + piece, batch.n));
      const ShardsHeld held(&storage_, shards);
      WriteKeys(batch, update_ts, filter, fetch, apply);
    }
  }

 private:
  struct Key {
    uint64_t hash;
    int64_t fid;
    int64_t position;  // in the batch
  };
  // What was found of a key kFar, then kNear keys before its turn.
  struct Ahead {
    const FidIndex* index;
    const FidIndex::Array* array;
    Bucket* home;
    uint32_t number;         // of its entry; kNoEntry: absent
    bool lies_further;       // perhaps: not in its home, which others have passed
    EntrySlab::Entry entry;  // if there is one
  };

  // Lists in keys_ the fids of [begin, end) that belong to the batch's part, and returns the set of their shards: bit i
  // for shard i.
  uint64_t ListKeys(const Batch& batch, int64_t begin, int64_t end) {
    if (end - begin > most_keys_) {
      most_keys_ = end - begin;
      keys_.reset(new Key[most_keys_]);
    }
    Key* next = keys_.get();
    uint64_t hashes[kHashed];
    const int part = batch.part, num_parts = batch.num_parts;
    for (; begin < end; begin += kHashed) {
      const int64_t n = std::min(kHashed, end - begin);
      const int64_t* const fids = batch.fids + begin;
      MixEach(fids, n, hashes);
      for (int64_t i = 0; i < n; ++i) {
        *next = {hashes[i], fids[i], begin + i};
        next += PartOfHash(hashes[i], num_parts) == part;  // no branch: whose a fid is is no pattern to predict
      }
    }
    num_keys_ = next - keys_.get();
    uint64_t shards = 0;
    for (const Key* key = keys_.get(); key != next; ++key) shards |= uint64_t{1} << HashedFidOf(key->hash).shard;
    return shards;
  }
  static constexpr int64_t kHashed = 256;

  // Requires for the rest: the shards of keys_ are held.

  template <typename Fetch, typename Apply>
  void WriteKeys(const Batch& batch, uint32_t update_ts, AdmissionFilter* filter, Fetch& fetch, Apply& apply) {
    Ahead ring[kRing];
    const Key* const keys = keys_.get();
    const auto n = static_cast<uint64_t>(num_keys_);
    const auto fetch_home = [&](uint64_t i) { FetchHome(keys[i], &ring[i % kRing]); };
    const auto find = [&](uint64_t i) {
      Find(keys[i].fid, &ring[i % kRing]);
      fetch(keys[i].position);
    };
    const auto follow = [&](uint64_t i) {
      if (ring[i % kRing].lies_further) FindFurther(keys[i].fid, &ring[i % kRing]);
    };
    const auto write = [&](uint64_t i) { WriteKey(batch, keys[i], ring[i % kRing], update_ts, filter, apply); };
    try {
      uint64_t i = 0;
      for (uint64_t ahead = 0; ahead < std::min(kFar, n); ++ahead) fetch_home(ahead);
      for (uint64_t ahead = 0; ahead < std::min(kNear, n); ++ahead) find(ahead);
      for (uint64_t ahead = 0; ahead < std::min(kNext, n); ++ahead) follow(ahead);
      for (; i + kFar < n; ++i) {
        fetch_home(i + kFar);
        find(i + kNear);
        follow(i + kNext);
        write(i);
      }
      for (; i < n; ++i) {
        if (i + kNear < n) find(i + kNear);
        if (i + kNext < n) follow(i + kNext);
        write(i);
      }
    } catch (...) {
      Finish(apply);
      throw;
    }
    Finish(apply);
  }

  void FetchHome(const Key& key, Ahead* ahead) {
    const HashedFid hash = HashedFidOf(key.hash);
    const FidIndex& index = storage_.shard(hash.shard).index;
    const FidIndex::Array* const array = index.Current();
    Bucket* const home = array->HomeOf(hash.home);
    ahead->index = &index;
    ahead->array = array;
    ahead->home = home;
    __builtin_prefetch(home, 1);
  }

  // Finds a key in the array that was current when its home was fetched, if it lies in its home: what has been added since
  // is not seen.
  void Find(int64_t fid, Ahead* ahead) {
    Bucket* const home = ahead->home;
    ahead->number = home->EntryOf(fid);
    ahead->lies_further = FidIndex::MayLieFurther(*home, ahead->number);
    if (ahead->number != FidIndex::kNoEntry) {
      FetchEntry(ahead);
    } else if (ahead->lies_further || home->EmptyCells() == 0) {
      FidIndex::FetchNext(home);  // where it is, or will be put
    }
  }

  void FindFurther(int64_t fid, Ahead* ahead) {
    ahead->lies_further = false;
    ahead->number = FidIndex::Locate(*ahead->array, ahead->home, fid).entry;
    if (ahead->number != FidIndex::kNoEntry) FetchEntry(ahead);
  }

  void FetchEntry(Ahead* ahead) {
    const EntrySlab::Entry entry = slab_.Find(ahead->number);
    ahead->entry = entry;
    PrefetchBytes(entry.bytes, entry_bytes_, true);
    __builtin_prefetch(entry.stamp, 1);
  }

  template <typename Apply>
  void WriteKey(const Batch& batch, const Key& key, Ahead& ahead, uint32_t update_ts, AdmissionFilter* filter,
                Apply& apply) {
    // A key that was there some keys ago still is, in the same entry, and its home too if the array still is.
    if (ahead.number == FidIndex::kNoEntry || ahead.array != ahead.index->Current()) {
      FetchHome(key, &ahead);
      FindFurther(key.fid, &ahead);
    }
    if (ahead.number != FidIndex::kNoEntry) {
      if (group_size_ == kGroup || FidIndex::IsChanging(ahead.home)) Finish(apply);
      Begin(ahead.home, ahead.entry, key.position, false, update_ts);
    } else if (filter == nullptr ||
               filter->Admit(key.fid, batch.occurrences == nullptr ? 1 : batch.occurrences[key.position])) {
      Insert(key, update_ts, apply);
    }
  }

  // Adds an entry to the group. Requires: its home is in no change.
  void Begin(Bucket* home, const EntrySlab::Entry& entry, int64_t position, bool inserted, uint32_t update_ts) {
    char* value = entry.bytes;
    if (!kWriteInPlace) {
      value = reinterpret_cast<char*>(scratch_.data() + group_size_ * scratch_words_);
      LoadAtomically(value, entry.bytes, value_bytes_);
      bytes_[group_size_] = entry.bytes;
    }
    FidIndex::BeginChange(home);
    homes_[group_size_] = home;
    group_[group_size_] = {position, value, entry.bytes + value_bytes_, entry.stamp, update_ts, inserted};
    ++group_size_;
  }

  // Changes the entries of the group and lets readers see them.
  template <typename Apply>
  void Finish(Apply& apply) {
    if (group_size_ == 0) return;
    std::atomic_thread_fence(std::memory_order_release);
    const GroupEnd end{this};
    apply(group_, group_size_);
    for (int i = 0; i < group_size_; ++i) {
      // Most stamps of a busy entry are equal: their cache line then stays clean.
      const WrittenEntry& written = group_[i];
      if (written.stamp->load(std::memory_order_relaxed) != written.update_ts) {
        written.stamp->store(written.update_ts, std::memory_order_relaxed);
      }
    }
  }
  struct GroupEnd {
    EntryWriter* writer;
    ~GroupEnd() {
      for (int i = 0; i < writer->group_size_; ++i) {
        if (!kWriteInPlace) StoreAtomically(writer->bytes_[i], writer->group_[i].value, writer->value_bytes_);
        FidIndex::EndChange(writer->homes_[i]);
      }
      writer->group_size_ = 0;
    }
  };

  // Adds a key that is absent to its shard, and its entry to the group.
  template <typename Apply>
  void Insert(const Key& key, uint32_t update_ts, Apply& apply) {
    TableStorage::Shard* const shard = &storage_.shard(HashedFidOf(key.hash).shard);
    const uint64_t num_keys = shard->num_keys.load(std::memory_order_relaxed) + 1;
    FidIndex& index = shard->index;
    const auto grow = [&] {
      Finish(apply);
      index.Grow();
    };
    if (index.IsFull(num_keys)) grow();
    if (shard->free.empty() && run_.IsEmpty()) Finish(apply);  // memory may take its time to come
    const uint32_t number = Allocate(shard);
    int64_t walked = 0;
    try {
      while ((walked = PutInGroup(&index, key, number, update_ts, apply)) == 0) grow();
    } catch (...) {
      shard->free.push_back(number);
      throw;
    }
    shard->num_keys.store(num_keys, std::memory_order_relaxed);
    if (index.IsCrowded(walked, num_keys)) grow();
  }

  uint32_t Allocate(TableStorage::Shard* shard) {
    if (!shard->free.empty()) {
      const uint32_t number = shard->free.back();
      shard->free.pop_back();
      // Readers may be copying what the erased key had here: who sees what comes now sees that key's change, too.
      std::atomic_thread_fence(std::memory_order_release);
      return number;
    }
    if (const uint32_t later = run_.Ahead(kGroup)) {
      PrefetchBytes(slab_.At(later), entry_bytes_, true);
    }
    return run_.Allocate(&slab_);
  }

  // Returns how far from its home the key's cell is, or 0 if there is none.
  template <typename Apply>
  int64_t PutInGroup(FidIndex* index, const Key& key, uint32_t number, uint32_t update_ts, Apply& apply) {
    Bucket* const home = index->HomeOf(HashedFidOf(key.hash).home);
    if (group_size_ == kGroup || FidIndex::IsChanging(home)) Finish(apply);
    const EntrySlab::Entry entry = slab_.Find(number);
    if (initialise_ && kWriteInPlace) codec_.Init(key.fid, entry.bytes, entry.bytes + value_bytes_);
    Begin(home, entry, key.position, true, update_ts);
    const int64_t walked = index->Put(key.fid, home, number);
    if (walked == 0) {
      --group_size_;
      FidIndex::EndChange(home);
      return 0;
    }
    const WrittenEntry& written = group_[group_size_ - 1];
    if (initialise_ && !kWriteInPlace) codec_.Init(key.fid, written.value, written.state);
    return walked;
  }

  const EntryCodec& codec_;
  TableStorage& storage_;
  EntrySlab& slab_;
  const size_t entry_bytes_, value_bytes_;
  const bool initialise_;
  EntryRun run_;
  std::unique_ptr<Key[]> keys_;
  int64_t most_keys_ = 0, num_keys_ = 0;
  // The group: entries, and where each is.
  int group_size_ = 0;
  WrittenEntry group_[kGroup];
  Bucket* homes_[kGroup];
  char* bytes_[kGroup];  // where entries are not changed in place
  const size_t scratch_words_;
  std::vector<uint64_t> scratch_;  // private copies of the group's value bytes, where entries are not changed in place
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_WRITER_H_
