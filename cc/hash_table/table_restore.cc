// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/table_restore.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <string>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/fid_index.h"
#include "cc/hash_table/hashing.h"
#include "cc/hash_table/prefetch.h"
#include "cc/hash_table/values.h"

namespace monolith {
namespace {

// How many keys before its turn the home bucket of one is fetched, and how many entries before theirs fresh ones are.
constexpr size_t kFarHome = 16;
constexpr uint32_t kFarEntry = 8;

uint32_t ShardOfHash(uint64_t hash) { return HashedFidOf(hash).shard; }

// Items grouped by shard, each shard's in their order: one mutex is taken at a time, and threads that restore files whose
// fids come in any order seldom wait for each other.
template <typename Item>
void GroupByShard(std::vector<Item>* items) {
  std::array<uint32_t, kNumIndexShards + 1> begin{};
  for (const Item& item : *items) ++begin[ShardOfHash(item.hash) + 1];
  if (*std::max_element(begin.begin(), begin.end()) == items->size()) return;
  for (int s = 0; s < kNumIndexShards; ++s) begin[s + 1] += begin[s];
  std::vector<Item> grouped(items->size());
  for (const Item& item : *items) grouped[begin[ShardOfHash(item.hash)]++] = item;
  items->swap(grouped);
}

// A run of fresh entries while this lives.
class BorrowedRun {
 public:
  explicit BorrowedRun(TableStorage* storage) : storage_(*storage), run_(storage->BorrowRun()) {}
  ~BorrowedRun() { storage_.ReturnRun(run_); }
  BorrowedRun(const BorrowedRun&) = delete;
  BorrowedRun& operator=(const BorrowedRun&) = delete;
  EntryRun* get() { return &run_; }

 private:
  TableStorage& storage_;
  EntryRun run_;
};

}  // namespace

TableRestore::TableRestore(const TableConfig& config, const EntryCodec& codec, const RecordLayout& layout,
                           EpochManager* epochs, uint64_t num_entries)
    : config_(config),
      codec_(codec),
      layout_(layout),
      epochs_(*epochs),
      storage_(std::make_unique<TableStorage>(codec.entry_bytes(), epochs)),
      keys_of_shard_(TableStorage::KeysOfShard(num_entries)) {}

void TableRestore::Add(const std::string_view* serialized, size_t n, int shard, int num_shards) {
  std::vector<Item> items;
  items.reserve(n);
  SavedEntries parsed;
  List(serialized, n, shard, num_shards, &items, &parsed);
  GroupByShard(&items);
  PutAll(items, parsed);
  uint32_t newest = 0;
  for (const Item& item : items) newest = std::max(newest, item.update_ts);
  RaiseTo(&max_update_ts_, newest);
}

void TableRestore::List(const std::string_view* serialized, size_t n, int shard, int num_shards,
                        std::vector<Item>* items, SavedEntries* parsed) const {
  for (size_t i = 0; i < n; ++i) {
    Item item{0, 0, serialized[i].data(), 0, 0};
    if (!layout_.is_fixed() || !layout_.Matches(serialized[i], &item.fid, &item.update_ts)) {
      Parse(serialized[i], shard, num_shards, items, parsed);
    } else if (num_shards == 1 || ShardOfFid(item.fid, num_shards) == static_cast<uint64_t>(shard)) {
      item.hash = Mix64(static_cast<uint64_t>(item.fid));
      items->push_back(item);
    }
  }
}

void TableRestore::Parse(std::string_view record, int shard, int num_shards, std::vector<Item>* items,
                         SavedEntries* parsed) const {
  if (!parsed->Add(record)) {
    throw TableError("table '" + config_.name + "': a saved entry of " + std::to_string(record.size()) +
                     " bytes is damaged; restore from another checkpoint.");
  }
  const auto place = static_cast<uint32_t>(parsed->size() - 1);
  const SavedEntry entry = (*parsed)[place];
  const bool skipped = config_.skip_zero_embedding && IsZero(entry.values, entry.num_values);
  if (skipped || ShardOfFid(entry.fid, num_shards) != static_cast<uint64_t>(shard)) return parsed->RemoveLast();
  codec_.CheckSaved(config_.name, entry);
  items->push_back({Mix64(static_cast<uint64_t>(entry.fid)), entry.fid, nullptr, place, entry.update_ts});
}

void TableRestore::PutAll(const std::vector<Item>& items, const SavedEntries& parsed) {
  const EpochManager::Guard guard(epochs_);
  BorrowedRun run(storage_.get());
  const auto fetch_home = [&](size_t i) {
    const HashedFid hash = HashedFidOf(items[i].hash);
    __builtin_prefetch(storage_->shard(hash.shard).index.HomeOf(hash.home), 1);
  };
  for (size_t i = 0; i < std::min(kFarHome, items.size()); ++i) fetch_home(i);
  for (size_t i = 0; i < items.size();) {
    const uint32_t number = ShardOfHash(items[i].hash);
    TableStorage::Shard& shard = storage_->shard(number);
    const std::lock_guard<std::mutex> writer(shard.mutex);
    shard.index.Reserve(keys_of_shard_);
    for (; i < items.size() && ShardOfHash(items[i].hash) == number; ++i) {
      if (i + kFarHome < items.size()) fetch_home(i + kFarHome);
      Put(items[i], parsed, &shard, run.get());
    }
  }
}

// The newer of two twins wins, the later of two of one age.
void TableRestore::Put(const Item& item, const SavedEntries& parsed, TableStorage::Shard* shard, EntryRun* run) {
  const uint64_t hash = HashedFidOf(item.hash).home;
  EntrySlab& slab = storage_->slab();
  uint32_t number = shard->index.LocateNow(item.fid, hash).entry;
  if (number == FidIndex::kNoEntry) {
    if (const uint32_t later = run->Ahead(kFarEntry)) PrefetchBytes(slab.At(later), codec_.entry_bytes());
    number = run->Allocate(&slab);
    const uint64_t num_keys = shard->num_keys.load(std::memory_order_relaxed) + 1;
    bool inserted = false;
    shard->index.Insert(item.fid, hash, number, num_keys, &inserted);
    shard->num_keys.store(num_keys, std::memory_order_relaxed);
  } else if (slab.StampAt(number)->load(std::memory_order_relaxed) > item.update_ts) {
    return;
  }
  const EntrySlab::Entry entry = slab.Find(number);
  if (item.record != nullptr) {
    layout_.Read(item.record, entry.bytes);
  } else {
    codec_.Restore(parsed[item.parsed], entry.bytes, entry.bytes + codec_.value_bytes());
  }
  entry.stamp->store(item.update_ts, std::memory_order_relaxed);
}

}  // namespace monolith
