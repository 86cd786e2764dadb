// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/concurrent_table.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/entry_writer.h"
#include "cc/hash_table/hash_order_scan.h"
#include "cc/hash_table/relaxed_memory.h"

namespace monolith {
namespace {

constexpr int64_t kSecondsPerDay = 86400;

bool IsExpired(const ExpireConfig& expire, int64_t fid, int64_t update_ts, int64_t now) {
  return now - update_ts >= static_cast<int64_t>(expire.DaysOf(SlotOfFid(fid))) * kSecondsPerDay;
}

// "Zero" is a sum of squares of 0 or below the smallest normal float.
bool IsZero(const float* values, int dim) {
  float sum = 0;
  for (int i = 0; i < dim; ++i) sum += values[i] * values[i];
  return sum < std::numeric_limits<float>::min();
}

void RaiseTo(std::atomic<int64_t>* highest, int64_t value) {
  int64_t seen = highest->load(std::memory_order_relaxed);
  while (seen < value && !highest->compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

void PrefetchRow(const float* row, size_t dim) {
  PrefetchBytes(reinterpret_cast<const char*>(row), sizeof(float) * dim, false);
}

// Requires: the shard's mutex is held.
void Erase(TableStorage::Shard* shard, const FidIndex::Place& place, uint64_t home) {
  shard->index.Erase(place, home);
  shard->run.Free(place.entry);
  shard->num_keys.store(shard->num_keys.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

void EraseIfPresent(TableStorage* storage, int64_t fid) {
  const HashedFid hash = HashFid(fid);
  TableStorage::Shard& shard = storage->shard(hash.shard);
  const std::lock_guard<std::mutex> writer(shard.mutex);
  const FidIndex::Place place = shard.index.LocateNow(fid, hash.home);
  if (place.entry != FidIndex::kNoEntry) Erase(&shard, place, hash.home);
}

// Reads entries without locks, a batch at a time.
class EntryReader {
 public:
  EntryReader(const EntryCodec& codec, const TableStorage& storage)
      : codec_(codec), storage_(storage), scratch_((codec.value_bytes() + 7) / 8) {}

  int64_t ReadEach(const int64_t* fids, int64_t n, float* embeddings) {
    int64_t present = 0;
    for (int64_t begin = 0; begin < n; begin += kBlock) {
      const int64_t size = std::min(kBlock, n - begin);
      present += ReadBlock(fids + begin, size, embeddings + begin * codec_.dim());
    }
    return present;
  }

 private:
  // Keys that go through hash, probe and copy together: each step fetches what the next one touches, and takes long
  // enough for it to arrive.
  static constexpr int64_t kBlock = 64;

  int64_t ReadBlock(const int64_t* fids, int64_t n, float* embeddings) {
    HashedFid hashes[kBlock];
    FidIndex::Sighting sightings[kBlock];
    for (int64_t i = 0; i < n; ++i) {
      hashes[i] = HashFid(fids[i]);
      __builtin_prefetch(IndexOf(hashes[i]).HomeOf(hashes[i].home));
    }
    for (int64_t i = 0; i < n; ++i) {
      sightings[i] = FidIndex::Find(*IndexOf(hashes[i]).Current(), fids[i], hashes[i].home);
      if (sightings[i].entry == FidIndex::kNoEntry) continue;
      PrefetchBytes(storage_.slab().At(sightings[i].entry), codec_.value_bytes(), false);
    }
    int64_t present = 0;
    for (int64_t i = 0; i < n; ++i) {
      present += Read(fids[i], hashes[i], sightings[i], embeddings + i * codec_.dim());
    }
    return present;
  }

  bool Read(int64_t fid, const HashedFid& hash, FidIndex::Sighting sighting, float* embedding) {
    const FidIndex& index = IndexOf(hash);
    while (sighting.entry != FidIndex::kNoEntry) {
      char* target = codec_.values_are_floats() ? reinterpret_cast<char*>(embedding) : scratch();
      LoadShared(target, storage_.slab().At(sighting.entry), codec_.value_bytes());
      if (index.Validate(sighting)) {
        if (!codec_.values_are_floats()) codec_.Read(scratch(), embedding);
        return true;
      }
      sighting = FidIndex::Find(*index.Current(), fid, hash.home);
    }
    std::memset(embedding, 0, sizeof(float) * codec_.dim());
    return false;
  }

  const FidIndex& IndexOf(const HashedFid& hash) const { return storage_.shard(hash.shard).index; }
  char* scratch() { return reinterpret_cast<char*>(scratch_.data()); }

  const EntryCodec& codec_;
  const TableStorage& storage_;
  std::vector<uint64_t> scratch_;
};

}  // namespace

// Fills a storage of its own beside the table's.
class TableRestoreBatch : public RestoreBatch {
 public:
  explicit TableRestoreBatch(const ConcurrentTable& table)
      : table_(table), storage_(std::make_unique<TableStorage>(table.codec_->entry_bytes(), &table.epochs_)) {}

  void Add(const std::vector<std::string>& serialized, int shard, int num_shards) override {
    EpochManager::Guard guard(table_.epochs_);
    EntryWriter writer(*table_.codec_, storage_.get());
    EntryDump dump;
    for (const std::string& bytes : serialized) {
      if (!ParseEntryDump(bytes, &dump)) {
        throw TableError("table '" + table_.config_.name + "': a saved entry of " + std::to_string(bytes.size()) +
                         " bytes is damaged; restore from another checkpoint.");
      }
      if (ShardOfFid(dump.fid, num_shards) != static_cast<uint64_t>(shard)) continue;
      const int dim = static_cast<int>(dump.values.size());
      if (!table_.config_.skip_zero_embedding || !IsZero(dump.values.data(), dim)) AddOne(dump, &writer);
    }
  }

 private:
  friend class ConcurrentTable;

  void AddOne(const EntryDump& dump, EntryWriter* writer) {
    const HashedFid hash = HashFid(dump.fid);
    const TableStorage::Shard& shard = storage_->shard(hash.shard);
    uint32_t stamp = dump.update_ts;
    writer->Write(dump.fid, hash, stamp, nullptr, 1, [&](char* value, char* state, bool inserted) {
      if (!inserted) {
        const uint32_t number = shard.index.LocateNow(dump.fid, hash.home).entry;
        const uint32_t twin = storage_->slab().StampAt(number)->load(std::memory_order_relaxed);
        if (twin > stamp) {
          stamp = twin;
          return;
        }
        table_.codec_->Init(dump.fid, value, state);
      }
      table_.codec_->Restore(dump, value, state);
    });
    RaiseTo(&max_update_ts_, stamp);
  }

  const ConcurrentTable& table_;
  std::unique_ptr<TableStorage> storage_;
  std::atomic<int64_t> max_update_ts_{0};
};

class ConcurrentTable::LockedTable : public EmbeddingTable::Locked {
 public:
  explicit LockedTable(ConcurrentTable* table) : table_(*table), closed_(table->gate_) {}

  void ForEach(int part, int num_parts, const ExpireConfig& expire,
               const std::function<bool(int64_t, const std::string&)>& visit) const override {
    std::string entry;
    for (int s = 0; s < kNumIndexShards; ++s) {
      const TableStorage::Shard& shard = table_.storage()->shard(s);
      const FidIndex::Array& array = *shard.index.Current();
      const uint64_t begin = array.num_buckets * part / num_parts;
      const uint64_t end = array.num_buckets * (part + 1) / num_parts;
      for (uint64_t b = begin; b < end; ++b) {
        if (b + kAhead < end) Prefetch(array.buckets[b + kAhead]);
        if (!VisitBucket(array.buckets[b], expire, visit, &entry)) return;
      }
    }
  }

 private:
  static constexpr uint64_t kAhead = 4;

  void Prefetch(const Bucket& bucket) const {
    for (const auto& cell : bucket.entries) {
      const uint32_t number = cell.load(std::memory_order_relaxed);
      if (number == FidIndex::kNoEntry) continue;
      PrefetchBytes(table_.storage()->slab().At(number), table_.codec_->entry_bytes(), false);
      __builtin_prefetch(table_.storage()->slab().StampAt(number));
    }
  }

  bool VisitBucket(const Bucket& bucket, const ExpireConfig& expire,
                   const std::function<bool(int64_t, const std::string&)>& visit, std::string* entry) const {
    const EntryCodec& codec = *table_.codec_;
    for (int c = 0; c < kCellsPerBucket; ++c) {
      const uint32_t number = bucket.entries[c].load(std::memory_order_relaxed);
      if (number == FidIndex::kNoEntry) continue;
      const int64_t fid = bucket.fids[c].load(std::memory_order_relaxed);
      const uint32_t stamp = table_.storage()->slab().StampAt(number)->load(std::memory_order_relaxed);
      if (IsExpired(expire, fid, stamp, table_.max_update_ts())) continue;
      const char* bytes = table_.storage()->slab().At(number);
      entry->clear();
      EntryDumpWriter(entry).WriteFid(fid);
      codec.Save(bytes, bytes + codec.value_bytes(), stamp, entry);
      if (!visit(fid, *entry)) return false;
    }
    return true;
  }

  ConcurrentTable& table_;
  WriterGate::Closed closed_;
};

ConcurrentTable::ConcurrentTable(const TableConfig& config)
    : config_(config), codec_(NewEntryCodec(config)), storage_(new TableStorage(codec_->entry_bytes(), &epochs_)) {
  if (config.initial_capacity > 1) storage()->Reserve(config.initial_capacity);
}

ConcurrentTable::~ConcurrentTable() { delete storage(); }

uint64_t ConcurrentTable::size() const {
  EpochManager::Guard guard(epochs_);
  return storage()->size();
}

uint64_t ConcurrentTable::MemoryBytes() const {
  EpochManager::Guard guard(epochs_);
  return storage()->MemoryBytes();
}

void ConcurrentTable::RaiseMaxUpdateTs(int64_t update_ts) { RaiseTo(&max_update_ts_, update_ts); }

int64_t ConcurrentTable::Lookup(const int64_t* fids, int64_t n, float* embeddings) const {
  EpochManager::Guard guard(epochs_);
  return EntryReader(*codec_, *storage()).ReadEach(fids, n, embeddings);
}

std::string ConcurrentTable::LookupEntry(int64_t fid) const {
  // The optimizer state lies outside what readers may copy, so this read keeps the shard's writers out. A restore may
  // swap the storage meanwhile; entry numbers mean something in their own storage only.
  EpochManager::Guard guard(epochs_);
  const HashedFid hash = HashFid(fid);
  TableStorage* const storage = this->storage();
  TableStorage::Shard& shard = storage->shard(hash.shard);
  std::vector<char> bytes;
  uint32_t stamp = 0;
  {
    const std::lock_guard<std::mutex> no_writer(shard.mutex);
    const uint32_t number = shard.index.LocateNow(fid, hash.home).entry;
    if (number != FidIndex::kNoEntry) {
      const char* at = storage->slab().At(number);
      bytes.assign(at, at + codec_->entry_bytes());
      stamp = storage->slab().StampAt(number)->load(std::memory_order_relaxed);
    }
  }
  std::string entry;
  if (!bytes.empty()) codec_->Save(bytes.data(), bytes.data() + codec_->value_bytes(), stamp, &entry);
  return entry;
}

void ConcurrentTable::Assign(const int64_t* fids, int64_t n, const float* values, int64_t update_ts,
                             AdmissionFilter* filter) {
  RaiseMaxUpdateTs(update_ts);
  if (config_.skip_zero_embedding) return AssignSkippingZeros(fids, n, values, update_ts, filter);
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  const size_t dim = codec_->dim();
  EntryWriter(*codec_, storage())
      .WriteEach(
          fids, n, ClampTime(update_ts), filter, nullptr, [&](int64_t i) { PrefetchRow(values + i * dim, dim); },
          [&](int64_t i, char* value, char*, bool) { codec_->Assign(values + i * dim, value); });
}

void ConcurrentTable::AssignSkippingZeros(const int64_t* fids, int64_t n, const float* values, int64_t update_ts,
                                          AdmissionFilter* filter) {
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  EntryWriter writer(*codec_, storage());
  for (int64_t i = 0; i < n; ++i, values += codec_->dim()) {
    if (IsZero(values, codec_->dim())) {
      EraseIfPresent(storage(), fids[i]);
      continue;
    }
    writer.Write(fids[i], HashFid(fids[i]), ClampTime(update_ts), filter, 1,
                 [&](char* value, char*, bool) { codec_->Assign(values, value); });
  }
}

void ConcurrentTable::AssignAdd(const int64_t* fids, int64_t n, const float* values, int64_t update_ts,
                                AdmissionFilter* filter) {
  RaiseMaxUpdateTs(update_ts);
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  const size_t dim = codec_->dim();
  EntryWriter(*codec_, storage())
      .WriteEach(
          fids, n, ClampTime(update_ts), filter, nullptr, [&](int64_t i) { PrefetchRow(values + i * dim, dim); },
          [&](int64_t i, char* value, char*, bool) { codec_->AssignAdd(values + i * dim, value); });
}

void ConcurrentTable::Optimize(const int64_t* fids, int64_t n, const float* const* gradients,
                               const int64_t* occurrences, const float* learning_rates, int64_t update_ts,
                               int64_t global_step, AdmissionFilter* filter) {
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  EntryWriter(*codec_, storage())
      .WriteEach(
          fids, n, ClampTime(update_ts), filter, occurrences,
          [&](int64_t i) { PrefetchRow(gradients[i], codec_->dim()); },
          [&](int64_t i, char* value, char* state, bool) {
            codec_->Optimize(gradients[i], learning_rates, global_step, value, state);
          });
  RaiseMaxUpdateTs(update_ts);  // a refused step has none
}

void ConcurrentTable::Reinitialize(const int64_t* fids, int64_t n, int64_t now, int32_t* found) {
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  EntryWriter(*codec_, storage())
      .WriteEach(
          fids, n, ClampTime(now), nullptr, nullptr, [](int64_t) {},
          [&](int64_t i, char* value, char* state, bool inserted) {
            if (!inserted) codec_->Init(fids[i], value, state);
            found[i] = inserted ? 0 : 1;
          });
}

uint64_t ConcurrentTable::Evict(const ExpireConfig& expire) {
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  const int64_t now = max_update_ts();
  uint64_t evicted = 0;
  for (int s = 0; s < kNumIndexShards; ++s) {
    TableStorage::Shard& shard = storage()->shard(s);
    const std::lock_guard<std::mutex> writer(shard.mutex);
    const FidIndex::Array& array = *shard.index.Current();
    for (Bucket* bucket = array.buckets; bucket != array.end(); ++bucket) {
      for (int c = 0; c < kCellsPerBucket; ++c) {
        const uint32_t number = bucket->entries[c].load(std::memory_order_relaxed);
        if (number == FidIndex::kNoEntry) continue;
        const int64_t fid = bucket->fids[c].load(std::memory_order_relaxed);
        const uint32_t stamp = storage()->slab().StampAt(number)->load(std::memory_order_relaxed);
        if (!IsExpired(expire, fid, stamp, now)) continue;
        Erase(&shard, {&array, bucket, c, number}, HashFid(fid).home);
        ++evicted;
      }
    }
  }
  return evicted;
}

std::unique_ptr<EmbeddingTable::Locked> ConcurrentTable::Lock() { return std::make_unique<LockedTable>(this); }

void ConcurrentTable::Scan(int part, int num_parts, int64_t limit, uint64_t* offset,
                           std::vector<std::string>* entries) const {
  EpochManager::Guard guard(epochs_);
  ScanInHashOrder(config_.name, *codec_, storage(), part, num_parts, limit, offset, entries);
}

std::unique_ptr<RestoreBatch> ConcurrentTable::StartRestore() const {
  return std::make_unique<TableRestoreBatch>(*this);
}

void ConcurrentTable::FinishRestore(std::unique_ptr<RestoreBatch> batch) {
  auto* restored = static_cast<TableRestoreBatch*>(batch.get());
  WriterGate::Closed closed(gate_);
  TableStorage* old = storage_.exchange(restored->storage_.release(), std::memory_order_seq_cst);
  RaiseMaxUpdateTs(restored->max_update_ts_.load(std::memory_order_relaxed));
  epochs_.Retire([old] { delete old; });
}

std::unique_ptr<EmbeddingTable> NewEmbeddingTable(const TableConfig& config) {
  return std::make_unique<ConcurrentTable>(config);
}

}  // namespace monolith
