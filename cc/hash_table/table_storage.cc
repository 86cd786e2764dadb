// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/table_storage.h"

namespace monolith {

TableStorage::TableStorage(size_t entry_bytes, EpochManager* epochs) : slab_((entry_bytes + 7) / 8 * 8) {
  for (int i = 0; i < kNumIndexShards; ++i) {
    shards_[i].emplace(static_cast<double>(i) / kNumIndexShards, epochs);
  }
}

void TableStorage::Reserve(uint64_t num_keys) {
  for (auto& shard : shards_) shard->index.Reserve(KeysOfShard(num_keys));
}

// Shards fill evenly up to chance; a little room keeps most of them from growing at all.
uint64_t TableStorage::KeysOfShard(uint64_t num_keys) {
  const uint64_t each = num_keys / kNumIndexShards;
  return each + each / 64;
}

EntryRun TableStorage::BorrowRun() {
  const std::lock_guard<std::mutex> lock(runs_mutex_);
  runs_.reserve(runs_.size() + borrowed_ + 1);  // then giving back needs no memory
  ++borrowed_;
  if (runs_.empty()) return {};
  const EntryRun run = runs_.back();
  runs_.pop_back();
  return run;
}

void TableStorage::ReturnRun(const EntryRun& run) {
  const std::lock_guard<std::mutex> lock(runs_mutex_);
  --borrowed_;
  if (!run.IsEmpty()) runs_.push_back(run);
}

uint64_t TableStorage::size() const {
  uint64_t size = 0;
  for (const auto& shard : shards_) size += shard->num_keys.load(std::memory_order_relaxed);
  return size;
}

uint64_t TableStorage::NumCells() const {
  uint64_t cells = 0;
  for (const auto& shard : shards_) cells += shard->index.NumCells();
  return cells;
}

uint64_t TableStorage::MemoryBytes() const {
  uint64_t bytes = slab_.UsedBytes();
  for (const auto& shard : shards_) bytes += shard->index.Bytes();
  return bytes;
}

}  // namespace monolith
