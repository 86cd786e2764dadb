// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/concurrent_table.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <numeric>
#include <utility>
#include <vector>

#include "cc/hash_table/entry_writer.h"
#include "cc/hash_table/hash_order_scan.h"
#include "cc/hash_table/relaxed_memory.h"
#include "cc/hash_table/table_restore.h"
#include "cc/hash_table/values.h"

namespace monolith {
namespace {

constexpr int64_t kSecondsPerDay = 86400;

bool IsExpired(const ExpireConfig& expire, int64_t fid, int64_t update_ts, int64_t now) {
  return now - update_ts >= static_cast<int64_t>(expire.DaysOf(SlotOfFid(fid))) * kSecondsPerDay;
}

// Where rows that a batch brings lie: one after another in `rows`, or where `row_of` says.
class Rows {
 public:
  Rows(const float* rows, const float* const* row_of, int dim) : rows_(rows), row_of_(row_of), dim_(dim) {}
  Rows(const Batch& batch, int dim) : Rows(batch.rows, batch.row_of, dim) {}
  const float* operator[](int64_t i) const { return row_of_ != nullptr ? row_of_[i] : rows_ + i * dim_; }
  void Prefetch(int64_t i) const { PrefetchBytes(reinterpret_cast<const char*>((*this)[i]), sizeof(float) * dim_); }

 private:
  const float* const rows_;
  const float* const* const row_of_;
  const int64_t dim_;
};

// Requires: the shard's mutex is held.
void Erase(TableStorage::Shard* shard, const FidIndex::Place& place) {
  shard->index.Erase(place);
  shard->free.push_back(place.entry);
  shard->num_keys.store(shard->num_keys.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

void EraseIfPresent(TableStorage* storage, int64_t fid) {
  const HashedFid hash = HashFid(fid);
  TableStorage::Shard& shard = storage->shard(hash.shard);
  const std::lock_guard<std::mutex> writer(shard.mutex);
  const FidIndex::Place place = shard.index.LocateNow(fid, hash.home);
  if (place.entry != FidIndex::kNoEntry) Erase(&shard, place);
}

// Reads entries without locks, a batch at a time.
class EntryReader {
 public:
  EntryReader(const EntryCodec& codec, const TableStorage& storage)
      : codec_(codec),
        storage_(storage),
        plain_(codec.values_are_floats()),
        dim_(codec.dim()),
        value_bytes_(codec.value_bytes()),
        scratch_(plain_ ? 0 : (value_bytes_ + 7) / 8) {}

  int64_t ReadEach(const int64_t* fids, int64_t n, float* embeddings) {
    const int64_t blocks = (n + kBlock - 1) / kBlock;
    const auto size_of = [n](int64_t b) { return std::min(kBlock, n - b * kBlock); };
    int64_t present = 0;
    for (int64_t b = 0; b < blocks + kStages - 1; ++b) {
      if (b < blocks) FetchHomes(fids + b * kBlock, size_of(b), &blocks_[b % kStages]);
      if (b >= 1 && b - 1 < blocks) FindEntries(fids + (b - 1) * kBlock, size_of(b - 1), &blocks_[(b - 1) % kStages]);
      if (b >= 2 && b - 2 < blocks) FindFurther(fids + (b - 2) * kBlock, &blocks_[(b - 2) % kStages]);
      if (b < 3) continue;
      const int64_t begin = (b - 3) * kBlock;
      present += CopyBlock(fids + begin, size_of(b - 3), blocks_[(b - 3) % kStages], embeddings + begin * dim_);
    }
    return present;
  }

 private:
  // Keys that go through hash, probe and copy together. Each stage fetches what the next one touches; blocks behind
  // each other are in different stages, so that memory has always something to bring.
  static constexpr int64_t kBlock = 16;
  static constexpr int kStages = 4;
  struct Block {
    const FidIndex::Array* arrays[kBlock];
    Bucket* homes[kBlock];
    uint32_t controls[kBlock];
    uint32_t entries[kBlock];
    const char* values[kBlock];
    uint32_t further;  // one bit a key that perhaps lies not in its home

    FidIndex::Sighting SightingOf(int64_t i) const { return {arrays[i], homes[i], controls[i], entries[i]}; }
  };

  void FetchHomes(const int64_t* fids, int64_t n, Block* block) {
    for (int64_t i = 0; i < n; ++i) {
      const HashedFid hash = HashFid(fids[i]);
      block->arrays[i] = storage_.shard(hash.shard).index.Current();
      block->homes[i] = block->arrays[i]->HomeOf(hash.home);
      __builtin_prefetch(block->homes[i]);
    }
    KeepPrefetches();
  }

  void FindEntries(const int64_t* fids, int64_t n, Block* block) {
    for (int64_t i = 0; i < n; ++i) block->controls[i] = FidIndex::ControlOf(*block->homes[i]);
    FidIndex::FindEachAtHome(block->homes, fids, n, block->entries);
    uint32_t further = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (block->entries[i] != FidIndex::kNoEntry) {
        FetchValue(block->entries[i], &block->values[i]);
      } else if (FidIndex::MayLieFurther(*block->homes[i], FidIndex::kNoEntry)) {
        FidIndex::FetchNext(block->homes[i]);
        further |= 1u << i;
      }
    }
    block->further = further;
  }

  void FindFurther(const int64_t* fids, Block* block) {
    for (uint32_t left = block->further; left != 0; left &= left - 1) {
      const int i = __builtin_ctz(left);
      block->entries[i] = FidIndex::Locate(*block->arrays[i], block->homes[i], fids[i]).entry;
      if (block->entries[i] != FidIndex::kNoEntry) FetchValue(block->entries[i], &block->values[i]);
    }
  }

  void FetchValue(uint32_t entry, const char** value) {
    *value = storage_.slab().At(entry);
    PrefetchBytes(*value, value_bytes_);
  }

  int64_t CopyBlock(const int64_t* fids, int64_t n, const Block& block, float* embeddings) {
    int64_t present = 0;
    for (int64_t i = 0; i < n; ++i, embeddings += dim_) {
      const FidIndex::Sighting sighting = block.SightingOf(i);
      present += sighting.entry != FidIndex::kNoEntry && Copy(block.values[i], sighting, embeddings)
                     ? 1
                     : ReadOne(fids[i], sighting, embeddings);
    }
    return present;
  }

  // Returns whether the copy is whole.
  bool Copy(const char* value, const FidIndex::Sighting& sighting, float* embedding) {
    LoadShared(plain_ ? reinterpret_cast<char*>(embedding) : scratch(), value, value_bytes_);
    if (!sighting.IsValid()) return false;
    if (!plain_) codec_.Read(scratch(), embedding);
    return true;
  }

  // For a key that is absent, or that was changed while it was copied.
  bool ReadOne(int64_t fid, FidIndex::Sighting sighting, float* embedding) {
    const HashedFid hash = HashFid(fid);
    while (sighting.entry != FidIndex::kNoEntry) {
      const FidIndex::Array& array = *storage_.shard(hash.shard).index.Current();
      sighting = FidIndex::Find(array, array.HomeOf(hash.home), fid);
      if (sighting.entry != FidIndex::kNoEntry && Copy(storage_.slab().At(sighting.entry), sighting, embedding)) {
        return true;
      }
    }
    std::memset(embedding, 0, sizeof(float) * dim_);
    return false;
  }

  char* scratch() { return reinterpret_cast<char*>(scratch_.data()); }

  const EntryCodec& codec_;
  const TableStorage& storage_;
  const bool plain_;  // the value bytes are the embedding
  const int64_t dim_;
  const size_t value_bytes_;
  std::vector<uint64_t> scratch_;
  Block blocks_[kStages];
};

}  // namespace

class ConcurrentTable::LockedTable : public EmbeddingTable::Locked {
 public:
  explicit LockedTable(ConcurrentTable* table)
      : table_(*table),
        codec_(*table->codec_),
        layout_(table->layout_),
        closed_(table->gate_),
        slab_(table->storage()->slab()) {}

  void ForEach(int part, int num_parts, const ExpireConfig& expire,
               const std::function<bool(int64_t, const std::string&)>& visit) const override {
    Walk(part, num_parts, expire, [&](int64_t fid, const char* bytes, uint32_t stamp) {
      return visit(fid, codec_.Saved(fid, bytes, bytes + codec_.value_bytes(), stamp));
    });
  }

  uint64_t Save(int part, int num_parts, const ExpireConfig& expire, FrameBuffer* frames) const override {
    const size_t most = codec_.most_saved_bytes();
    uint64_t saved = 0;
    Walk(part, num_parts, expire, [&](int64_t fid, const char* bytes, uint32_t stamp) {
      char* const out = frames->Begin(most);
      if (out == nullptr) return false;
      frames->End(Write(fid, bytes, stamp, out) - out);
      ++saved;
      return true;
    });
    return saved;
  }

 private:
  // Goes through buckets in an order that is spread over all of them from the first on. In their own order fids would come
  // in the order of their hashes, and a table that they are put into would have its first buckets full, and every fid
  // look for a place behind them, until all have come. A few buckets keep their order: then every part has its share.
  class Strides {
   public:
    Strides(const FidIndex::Array& array, uint64_t begin)
        : buckets_(array.buckets),
          n_(array.num_buckets),
          stride_(n_ < kFew ? 1 : static_cast<uint64_t>(n_ * 0.6180339887)) {
      while (std::gcd(stride_, n_) != 1) ++stride_;
      at_ = static_cast<uint64_t>(static_cast<unsigned __int128>(begin) * stride_ % n_);
    }
    const Bucket& Next() {
      const uint64_t at = at_;
      at_ = at + stride_ < n_ ? at + stride_ : at + stride_ - n_;
      return buckets_[at];
    }

   private:
    static constexpr uint64_t kFew = 64;
    const Bucket* const buckets_;
    const uint64_t n_;
    uint64_t stride_, at_;
  };

  // How many buckets before its turn a bucket is fetched, and how many before it the entries of one are.
  static constexpr uint64_t kFarBuckets = 12, kNearBuckets = 6;

  // visit(fid, bytes, stamp) for every entry of the part that is not expired, until it returns false.
  template <typename Visit>
  void Walk(int part, int num_parts, const ExpireConfig& expire, Visit visit) const {
    // Parts begin at different shards: then those who put them into a table at once do not wait for each other.
    const int first = static_cast<int>(int64_t{kNumIndexShards} * part / num_parts);
    for (int s = 0; s < kNumIndexShards; ++s) {
      const TableStorage::Shard& shard = table_.storage()->shard((first + s) % kNumIndexShards);
      const FidIndex::Array& array = *shard.index.Current();
      const uint64_t begin = array.num_buckets * part / num_parts;
      const uint64_t end = array.num_buckets * (part + 1) / num_parts;
      Strides far(array, begin), near(array, begin), buckets(array, begin);
      for (uint64_t i = begin; i < end + kFarBuckets; ++i) {
        if (i < end) __builtin_prefetch(&far.Next());
        if (i >= begin + kFarBuckets - kNearBuckets && i < end + kFarBuckets - kNearBuckets) Prefetch(near.Next());
        if (i >= begin + kFarBuckets && !VisitBucket(buckets.Next(), expire, visit)) return;
      }
    }
  }

  void Prefetch(const Bucket& bucket) const {
    for (const auto& cell : bucket.entries) {
      const uint32_t number = cell.load(std::memory_order_relaxed);
      if (number == FidIndex::kNoEntry) continue;
      const EntrySlab::Entry entry = slab_.Find(number);
      PrefetchBytes(entry.bytes, codec_.entry_bytes());
      __builtin_prefetch(entry.stamp);
    }
  }

  template <typename Visit>
  bool VisitBucket(const Bucket& bucket, const ExpireConfig& expire, Visit& visit) const {
    for (int c = 0; c < kCellsPerBucket; ++c) {
      const uint32_t number = bucket.entries[c].load(std::memory_order_relaxed);
      if (number == FidIndex::kNoEntry) continue;
      const int64_t fid = bucket.fids[c].load(std::memory_order_relaxed);
      const EntrySlab::Entry entry = slab_.Find(number);
      const uint32_t stamp = entry.stamp->load(std::memory_order_relaxed);
      if (IsExpired(expire, fid, stamp, table_.max_update_ts())) continue;
      if (!visit(fid, entry.bytes, stamp)) return false;
    }
    return true;
  }

  char* Write(int64_t fid, const char* bytes, uint32_t stamp, char* out) const {
    if (layout_.is_fixed()) return layout_.Write(fid, bytes, stamp, out);
    return codec_.Save(fid, bytes, bytes + codec_.value_bytes(), stamp, out);
  }

  ConcurrentTable& table_;
  const EntryCodec& codec_;
  const RecordLayout& layout_;
  const WriterGate::Closed closed_;
  const EntrySlab& slab_;  // of the storage, which no restore replaces while the gate is closed
};

ConcurrentTable::ConcurrentTable(const TableConfig& config)
    : config_(config),
      codec_(NewEntryCodec(config)),
      layout_(*codec_),
      storage_(new TableStorage(codec_->entry_bytes(), &epochs_)) {
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

double ConcurrentTable::LoadFactor() const {
  EpochManager::Guard guard(epochs_);
  const TableStorage& storage = *this->storage();
  return static_cast<double>(storage.size()) / static_cast<double>(storage.NumCells());
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
  return bytes.empty() ? "" : codec_->SavedWithoutFid(bytes.data(), bytes.data() + codec_->value_bytes(), stamp);
}

void ConcurrentTable::Assign(const Batch& batch, int64_t update_ts, AdmissionFilter* filter) {
  if (config_.skip_zero_embedding) return AssignSkippingZeros(batch, update_ts, filter);
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  WriteRows(batch, update_ts, filter, [this](const float* row, char* value) { codec_->Assign(row, value); });
  RaiseMaxUpdateTs(update_ts);
}

template <typename WriteRow>
void ConcurrentTable::WriteRows(const Batch& batch, int64_t update_ts, AdmissionFilter* filter, WriteRow write) {
  const Rows rows(batch, codec_->dim());
  EntryWriter(*codec_, storage())
      .WriteEach(
          batch, ClampTime(update_ts), filter, [&](int64_t i) { rows.Prefetch(i); },
          [&](WrittenEntry* written, int n) {
            for (int i = 0; i < n; ++i) write(rows[written[i].position], written[i].value);
          });
}

void ConcurrentTable::AssignSkippingZeros(const Batch& batch, int64_t update_ts, AdmissionFilter* filter) {
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  EntryWriter writer(*codec_, storage());
  const Rows rows(batch, codec_->dim());
  for (int64_t i = 0; i < batch.n; ++i) {
    if (PartOfFid(batch.fids[i], batch.num_parts) != batch.part) continue;
    if (IsZero(rows[i], codec_->dim())) {
      EraseIfPresent(storage(), batch.fids[i]);
      continue;
    }
    Batch one{batch.fids + i, 1};
    one.occurrences = batch.occurrences == nullptr ? nullptr : batch.occurrences + i;
    writer.WriteEach(
        one, ClampTime(update_ts), filter, [](int64_t) {},
        [&](WrittenEntry* written, int) { codec_->Assign(rows[i], written->value); });
  }
  RaiseMaxUpdateTs(update_ts);
}

void ConcurrentTable::AssignAdd(const Batch& batch, int64_t update_ts, AdmissionFilter* filter) {
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  WriteRows(batch, update_ts, filter, [this](const float* row, char* value) { codec_->AssignAdd(row, value); });
  RaiseMaxUpdateTs(update_ts);
}

void ConcurrentTable::CheckOptimize(int64_t global_step, bool has_looked_up) const {
  codec_->CheckOptimize(global_step);
  if (needs_looked_up() && !has_looked_up) {
    throw TableError("table '" + config_.name +
                     "': its dc optimizer takes the embeddings that the gradients were computed from; pass them beside "
                     "the gradients as looked_up, or use another optimizer.");
  }
}

void ConcurrentTable::Optimize(const Batch& batch, const StepSettings& settings) {
  if (batch.n > 0) {
    CheckOptimize(settings.global_step, batch.looked_up != nullptr || batch.looked_up_of != nullptr);
  }
  const Rows rows(batch, codec_->dim());
  const bool compensates = codec_->needs_looked_up();
  const Rows looked_up(batch.looked_up, batch.looked_up_of, codec_->dim());
  const auto optimize = [&](const WrittenEntry* written, int n) {
    EntryStep steps[kGroup];
    for (int i = 0; i < n; ++i) {
      steps[i] = {reinterpret_cast<float*>(written[i].value), reinterpret_cast<float*>(written[i].state),
                  rows[written[i].position]};
      if (compensates) steps[i].looked_up = looked_up[written[i].position];
    }
    codec_->Optimize(steps, n, settings.learning_rates, settings.global_step);
  };
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  EntryWriter(*codec_, storage())
      .WriteEach(batch, ClampTime(settings.update_ts), settings.filter, [&](int64_t i) { rows.Prefetch(i); }, optimize);
  RaiseMaxUpdateTs(settings.update_ts);
}

void ConcurrentTable::Reinitialize(const int64_t* fids, int64_t n, int64_t now, int32_t* found) {
  WriterGate::Pass pass(gate_);
  EpochManager::Guard guard(epochs_);
  const auto initialise = [&](const WrittenEntry* written, int size) {
    for (int i = 0; i < size; ++i) {
      const int64_t at = written[i].position;
      found[at] = written[i].inserted ? 0 : 1;
      if (!written[i].inserted) codec_->Init(fids[at], written[i].value, written[i].state);
    }
  };
  EntryWriter(*codec_, storage()).WriteEach({fids, n}, ClampTime(now), nullptr, [](int64_t) {}, initialise);
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
        Erase(&shard, {array.HomeOf(HashFid(fid).home), bucket, number});
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

std::unique_ptr<RestoreBatch> ConcurrentTable::StartRestore(uint64_t num_entries) const {
  return std::make_unique<TableRestore>(config_, *codec_, layout_, &epochs_, num_entries);
}

void ConcurrentTable::FinishRestore(std::unique_ptr<RestoreBatch> batch) {
  auto* restored = static_cast<TableRestore*>(batch.get());
  WriterGate::Closed closed(gate_);
  TableStorage* old = storage_.exchange(restored->TakeStorage().release(), std::memory_order_seq_cst);
  RaiseMaxUpdateTs(restored->max_update_ts());
  epochs_.Retire([old] { delete old; });
}

std::unique_ptr<EmbeddingTable> NewEmbeddingTable(const TableConfig& config) {
  return std::make_unique<ConcurrentTable>(config);
}

}  // namespace monolith
