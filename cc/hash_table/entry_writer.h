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
#include "cc/hash_table/part_keys.h"
#include "cc/hash_table/prefetch.h"
#include "cc/hash_table/relaxed_memory.h"
#include "cc/hash_table/table_storage.h"

namespace monolith {

// Keys that go through the stages of a write together, and whose entries are changed together.
constexpr int kGroup = 16;
static_assert(kGroup <= EntryCodec::kMostSteps, "a group takes its steps in one call");

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
  EntryWriter(const EntryCodec& codec, TableStorage* storage)
      : codec_(codec),
        storage_(*storage),
        slab_(storage->slab()),
        entry_bytes_(codec.entry_bytes()),
        value_bytes_(codec.value_bytes()),
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
      const int64_t n = std::min(piece, batch.n - begin);
      keys_.List(batch.fids, begin, begin + n, batch.part, batch.num_parts);
      const ShardsHeld held(&storage_, keys_.shards());
      WriteKeys(batch, update_ts, filter, fetch, apply);
    }
  }

 private:
  // Keys in one stage of the pipeline. Those whose turn it is become the group, from the front on.
  struct Block {
    Bucket* homes[kGroup];
    uint32_t numbers[kGroup];   // of their entries; kNoEntry: absent
    uint32_t versions[kGroup];  // of the homes of keys that were absent, before they were looked for
    uint32_t further;           // one bit a key that perhaps lies not in its home, which others have passed
    WrittenEntry entries[kGroup];
  };
  // The home buckets of a shard.
  struct Homes {
    Bucket* buckets;
    uint64_t num;
    const Bucket* end;  // of them and the spares
  };

  // Requires for the rest: the shards of keys_ are held.

  // Each stage fetches what the next one touches.
  template <typename Fetch, typename Apply>
  void WriteKeys(const Batch& batch, uint32_t update_ts, AdmissionFilter* filter, Fetch& fetch, Apply& apply) {
    for (uint64_t left = keys_.shards(); left != 0; left &= left - 1) ReadHomes(__builtin_ctzll(left));
    const int64_t blocks = (keys_.size() + kGroup - 1) / kGroup;
    try {
      for (int64_t b = 0; b < blocks + kStages - 1; ++b) {
        if (b < blocks) FetchHomes(b);
        if (b >= 1 && b - 1 < blocks) FindEntries(b - 1, update_ts, fetch);
        if (b >= 2 && b - 2 < blocks) FindFurther(b - 2);
        if (b >= 3) WriteBlock(batch, b - 3, filter, apply);
      }
    } catch (...) {
      Finish(apply);
      throw;
    }
  }

  Block& BlockOf(int64_t b) { return blocks_[b % kStages]; }
  // Of a key that has come so far.
  Bucket*& HomeOfKey(int64_t key) { return BlockOf(key / kGroup).homes[key % kGroup]; }
  uint32_t& VersionOfKey(int64_t key) { return BlockOf(key / kGroup).versions[key % kGroup]; }
  int SizeOf(int64_t b) const { return static_cast<int>(std::min<int64_t>(kGroup, keys_.size() - b * kGroup)); }

  void ReadHomes(int shard) {
    const FidIndex::Array& array = *storage_.shard(shard).index.Current();
    homes_[shard] = {array.buckets, array.num_homes, array.end()};
  }
  Bucket* HomeOf(uint64_t hash) const {
    const HashedFid hashed = HashedFidOf(hash);
    const Homes& homes = homes_[hashed.shard];
    return homes.buckets + static_cast<uint64_t>((static_cast<unsigned __int128>(hashed.home) * homes.num) >> 64);
  }

  void FetchHomes(int64_t b) {
    Block& block = BlockOf(b);
    const uint64_t* const hashes = keys_.hashes() + b * kGroup;
    const int n = SizeOf(b);
    for (int i = 0; i < n; ++i) {
      block.homes[i] = HomeOf(hashes[i]);
      __builtin_prefetch(block.homes[i], 1);
    }
    homed_ = b * kGroup + n;
  }

  // Finds the keys that lie in their homes: what the groups before theirs add is not seen.
  template <typename Fetch>
  void FindEntries(int64_t b, uint32_t update_ts, Fetch& fetch) {
    Block& block = BlockOf(b);
    const int n = SizeOf(b);
    FidIndex::FindEachAtHome(block.homes, keys_.fids() + b * kGroup, n, block.numbers);
    const int64_t* const positions = keys_.positions() + b * kGroup;
    uint32_t further = 0;
    for (int i = 0; i < n; ++i) {
      WrittenEntry* const written = &block.entries[i];
      written->position = positions[i];
      written->update_ts = update_ts;
      written->inserted = false;
      if (block.numbers[i] != FidIndex::kNoEntry) {
        FetchEntry(block.numbers[i], written);
      } else {
        const Bucket* const home = block.homes[i];
        block.versions[i] = FidIndex::VersionOf(*home);
        const bool lies_further = FidIndex::MayLieFurther(*home, FidIndex::kNoEntry);
        further |= static_cast<uint32_t>(lies_further) << i;
        if (lies_further || home->EmptyCells() == 0) FidIndex::FetchNext(home);  // where it is, or will be put
      }
      fetch(positions[i]);
    }
    block.further = further;
  }

  void FindFurther(int64_t b) {
    Block& block = BlockOf(b);
    for (uint32_t left = block.further; left != 0; left &= left - 1) {
      const int i = __builtin_ctz(left);
      block.numbers[i] = Locate(b * kGroup + i);
      if (block.numbers[i] != FidIndex::kNoEntry) FetchEntry(block.numbers[i], &block.entries[i]);
    }
  }

  uint32_t Locate(int64_t key) { return FidIndex::Locate(EndFor(key), HomeOfKey(key), keys_.fids()[key]).entry; }
  // Where the buckets of a key's shard end.
  const Bucket* EndFor(int64_t key) const { return homes_[HashedFidOf(keys_.hashes()[key]).shard].end; }

  void FetchEntry(uint32_t number, WrittenEntry* written) {
    const EntrySlab::Entry entry = slab_.Find(number);
    PrefetchBytes(entry.bytes, entry_bytes_);
    __builtin_prefetch(entry.stamp, 1);
    SetEntry(entry, written);
  }

  void SetEntry(const EntrySlab::Entry& entry, WrittenEntry* written) const {
    written->value = entry.bytes;
    written->state = entry.bytes + value_bytes_;
    written->stamp = entry.stamp;
  }

  template <typename Apply>
  void WriteBlock(const Batch& batch, int64_t b, AdmissionFilter* filter, Apply& apply) {
    Block& block = BlockOf(b);
    group_ = block.entries;
    group_homes_ = block.homes;
    const int n = SizeOf(b);
    for (int i = BeginPresent(block, n); i < n; ++i) {
      WrittenEntry& entry = block.entries[i];
      const int64_t key = b * kGroup + i;
      if (block.numbers[i] == FidIndex::kNoEntry) {
        // A key that was absent some keys ago may be there by now, if its home has changed since.
        const bool is_absent = FidIndex::VersionOf(*block.homes[i]) == block.versions[i];
        const uint32_t number = is_absent ? FidIndex::kNoEntry : Locate(key);
        if (number == FidIndex::kNoEntry) {
          const int64_t seen = batch.occurrences == nullptr ? 1 : batch.occurrences[entry.position];
          if (filter == nullptr || filter->Admit(keys_.fids()[key], seen)) Insert(key, &entry, apply);
          continue;
        }
        SetEntry(slab_.Find(number), &entry);
      }
      Begin(block.homes[i], entry, apply);
    }
    Finish(apply);
  }

  // Makes a group of the block's first keys: as many as are present and have homes of their own. Returns how many.
  int BeginPresent(const Block& block, int n) {
    if (!kWriteInPlace) return 0;
    int i = 0;
    for (; i < n && block.numbers[i] != FidIndex::kNoEntry && !FidIndex::IsChanging(block.homes[i]); ++i) {
      FidIndex::BeginChange(block.homes[i]);
    }
    return group_size_ = i;
  }

  // Adds an entry to the group, which it stands behind in the block.
  template <typename Apply>
  void Begin(Bucket* home, const WrittenEntry& entry, Apply& apply) {
    if (FidIndex::IsChanging(home)) Finish(apply);
    FidIndex::BeginChange(home);
    WrittenEntry* const last = group_ + group_size_;
    group_homes_[group_size_] = home;
    if (last != &entry) *last = entry;
    if (!kWriteInPlace) {
      char* const copy = reinterpret_cast<char*>(scratch_.data() + group_size_ * scratch_words_);
      LoadAtomically(copy, entry.value, value_bytes_);
      bytes_[group_size_] = entry.value;
      last->value = copy;
    }
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
      const int n = writer->group_size_;
      for (int i = 0; i < n; ++i) {
        if (!kWriteInPlace) StoreAtomically(writer->bytes_[i], writer->group_[i].value, writer->value_bytes_);
        FidIndex::EndChange(writer->group_homes_[i]);
      }
      writer->group_ += n;
      writer->group_homes_ += n;
      writer->group_size_ = 0;
    }
  };

  // Adds a key that is absent to its shard, and its entry to the group.
  template <typename Apply>
  void Insert(int64_t key, WrittenEntry* entry, Apply& apply) {
    const int shard_number = HashedFidOf(keys_.hashes()[key]).shard;
    TableStorage::Shard* const shard = &storage_.shard(shard_number);
    const uint64_t num_keys = shard->num_keys.load(std::memory_order_relaxed) + 1;
    const auto grow = [&] {
      Finish(apply);
      Grow(shard_number, key);
    };
    if (shard->index.IsFull(num_keys)) grow();
    FidIndex::Room room;
    while ((room = FidIndex::RoomFrom(HomeOfKey(key), EndFor(key))).bucket == nullptr) grow();
    // Memory may take its time to come.
    if (FidIndex::IsChanging(HomeOfKey(key)) || (shard->free.empty() && run_.IsEmpty())) Finish(apply);
    PutInGroup(key, room, Allocate(shard), entry, apply);
    shard->num_keys.store(num_keys, std::memory_order_relaxed);
    if (shard->index.IsCrowded(room.bucket - HomeOfKey(key), num_keys)) grow();
  }

  // Grows a shard. The keys that have come, from `key` on, get their new homes; their entries are where they were.
  void Grow(int shard, int64_t key) {
    storage_.shard(shard).index.Grow();
    ReadHomes(shard);
    for (; key < homed_; ++key) {
      HomeOfKey(key) = HomeOf(keys_.hashes()[key]);
      VersionOfKey(key) = FidIndex::kNoVersion;
    }
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
      const EntrySlab::Entry entry = slab_.Find(later);
      PrefetchBytes(entry.bytes, entry_bytes_);
      __builtin_prefetch(entry.stamp);
    }
    return run_.Allocate(&slab_);
  }

  // Requires: the key's home is in no change.
  template <typename Apply>
  void PutInGroup(int64_t key, const FidIndex::Room& room, uint32_t number, WrittenEntry* entry, Apply& apply) {
    const int64_t fid = keys_.fids()[key];
    SetEntry(slab_.Find(number), entry);
    entry->inserted = true;
    if (kWriteInPlace) codec_.Init(fid, entry->value, entry->state);
    Bucket* const home = HomeOfKey(key);
    Begin(home, *entry, apply);
    FidIndex::Put(fid, home, room, number);
    const WrittenEntry& written = group_[group_size_ - 1];
    if (!kWriteInPlace) codec_.Init(fid, written.value, written.state);
  }

  static constexpr int kStages = 4;

  const EntryCodec& codec_;
  TableStorage& storage_;
  EntrySlab& slab_;
  const size_t entry_bytes_, value_bytes_;
  EntryRun run_;
  PartKeys keys_;
  Block blocks_[kStages];
  int64_t homed_ = 0;  // keys whose homes the blocks have
  Homes homes_[kNumIndexShards];
  // The group: entries, and their homes, in the block that is being written.
  int group_size_ = 0;
  WrittenEntry* group_ = nullptr;
  Bucket** group_homes_ = nullptr;
  char* bytes_[kGroup];  // where entries are not changed in place
  const size_t scratch_words_;
  std::vector<uint64_t> scratch_;  // private copies of the group's value bytes, where entries are not changed in place
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_WRITER_H_
