// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/fid_index.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <thread>

#include "cc/hash_table/cpu_features.h"
#include "cc/hash_table/hashing.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace monolith {
namespace {

constexpr double kGrowth = 1.4;
constexpr double kMaxLoad = 0.8;
constexpr double kFirstHomes = 2;
// A key that finds a cell only after so many buckets sits in a crowd: keys that come in the order of their hashes fill
// the front of an array before the rest. The array then grows before its time, but to so many homes a key at most.
constexpr int kCrowd = 32;
constexpr uint64_t kMostHomesPerKey = 16;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Copies every key; returns false when one found no cell. `to` is fresh and nobody else's yet. Both arrays are walked
// front to back, so the system's own prefetching keeps up. No cell of `to` is emptied meanwhile: how many of a bucket's
// are full is counted in its version, which may begin with any number.
class ArrayCopy {
 public:
  ArrayCopy(const FidIndex::Array& from, const FidIndex::Array& to) : from_(from), to_(to) {}

  bool Run() {
    for (const Bucket* bucket = from_.buckets; bucket < from_.end(); bucket += kTogether) {
      const int n = List(bucket, std::min(bucket + kTogether, from_.end()));
      for (int i = 0; i < n; ++i) {
        if (!Append(keys_[i])) return false;
      }
    }
    return true;
  }

 private:
  static constexpr int kTogether = 16;  // buckets whose keys are listed before they are placed
  struct Key {
    int64_t fid;
    Bucket* home;
    uint32_t entry;
  };

  // Without branches: which cells are empty is no pattern to predict.
  int List(const Bucket* begin, const Bucket* end) {
    int n = 0;
    for (const Bucket* bucket = begin; bucket != end; ++bucket) {
      MONOLITH_UNROLL
      for (int c = 0; c < kCellsPerBucket; ++c) {
        const int64_t fid = bucket->fids[c].load(std::memory_order_relaxed);
        const uint32_t entry = bucket->entries[c].load(std::memory_order_relaxed);
        keys_[n] = {fid, to_.HomeOf(HashFid(fid).home), entry};
        n += entry != FidIndex::kNoEntry;
      }
    }
    return n;
  }

  bool Append(const Key& key) {
    for (Bucket* bucket = key.home; bucket != to_.end(); ++bucket) {
      const uint32_t control = bucket->control.load(std::memory_order_relaxed);
      const uint32_t full = (control & Bucket::kVersionMask) / Bucket::kVersionUnit;
      if (full == kCellsPerBucket) continue;
      bucket->control.store(control + Bucket::kVersionUnit, std::memory_order_relaxed);
      bucket->fids[full].store(key.fid, std::memory_order_relaxed);
      bucket->entries[full].store(key.entry, std::memory_order_relaxed);
      Bucket::AddOverflow(key.home, bucket, 1);
      return true;
    }
    return false;
  }

  const FidIndex::Array& from_;
  const FidIndex::Array& to_;
  Key keys_[kTogether * kCellsPerBucket + 1];  // the last is written to, never read
};

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
// A bucket in one register, which tells where the fid is; a writer may have changed a part of it meanwhile. So the cell is
// read again as EntryOf reads it: a fid that shows behind its number is that number's. Where it shows no longer, all
// cells are read in that way.
MONOLITH_AVX512 void FindEachAvx512(Bucket* const* homes, const int64_t* fids, int n, uint32_t* entries) {
  constexpr int kFirstEntry = offsetof(Bucket, entries) / sizeof(uint32_t);
  constexpr uint32_t kLastCell = 1u << (kCellsPerBucket - 1);
  for (int i = 0; i < n; ++i) {
    const Bucket& home = *homes[i];
    const __m512i bucket = _mm512_load_si512(&home);
    const uint32_t same = _mm512_cmpeq_epi64_mask(bucket, _mm512_set1_epi64(fids[i]));
    const uint32_t full = _mm512_test_epi32_mask(bucket, bucket) >> kFirstEntry;
    const uint32_t cells = same & full & (2 * kLastCell - 1);
    const int cell = __builtin_ctz(cells | kLastCell);
    const uint32_t number = home.entries[cell].load(std::memory_order_acquire);
    entries[i] = cells == 0 ? FidIndex::kNoEntry : number;
    if (cells != 0 && home.fids[cell].load(std::memory_order_relaxed) != fids[i]) entries[i] = home.EntryOf(fids[i]);
  }
}
#endif

}  // namespace

void FidIndex::FindEachAtHome(Bucket* const* homes, const int64_t* fids, int n, uint32_t* entries) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  if (CurrentSimdLevel() >= SimdLevel::kAvx512) return FindEachAvx512(homes, fids, n, entries);
#endif
  for (int i = 0; i < n; ++i) entries[i] = homes[i]->EntryOf(fids[i]);
}

FidIndex::Array::Array(uint64_t homes, uint64_t spares)
    : num_homes(homes),
      num_buckets(homes + spares),
      memory(num_buckets * sizeof(Bucket), PageBuffer::Use::kWhole),
      buckets(reinterpret_cast<Bucket*>(memory.data())) {}

FidIndex::FidIndex(double phase, EpochManager* epochs) : phase_(phase), epochs_(epochs) { Publish(NextArray(1)); }

FidIndex::~FidIndex() { delete Current(); }

std::unique_ptr<FidIndex::Array> FidIndex::NextArray(uint64_t homes) const {
  double steps = std::ceil(std::log(homes / kFirstHomes) / std::log(kGrowth) - phase_);
  uint64_t next = 0;
  do {
    next = static_cast<uint64_t>(std::ceil(kFirstHomes * std::pow(kGrowth, std::max(steps, 0.0) + phase_)));
    steps += 1;
  } while (next < homes);
  const uint64_t spares = 1 + std::min<uint64_t>(next / 8, 60);
  return std::make_unique<Array>(next, spares);
}

void FidIndex::Publish(std::unique_ptr<Array> next) {
  grow_at_ = static_cast<uint64_t>(next->num_homes * kCellsPerBucket * kMaxLoad);
  array_.store(next.release(), std::memory_order_seq_cst);
}

// Spins a little, then gives the core away: the writer may need it.
uint32_t FidIndex::AwaitChange(const Bucket& home) {
  for (int round = 0;; ++round) {
    const uint32_t control = home.control.load(std::memory_order_acquire);
    if ((control & Bucket::kChangingBit) == 0) return control;
    if (round < 64) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

bool FidIndex::IsCrowded(int64_t walked, uint64_t num_keys) const {
  return walked >= kCrowd && Current()->num_homes < kMostHomesPerKey * num_keys;
}

void FidIndex::Insert(int64_t fid, uint64_t hash, uint32_t entry, uint64_t num_keys, bool* inserted) {
  const auto room = [&] { return RoomFrom(HomeOf(hash), Current()->end()); };
  Room found;
  while ((found = room()).bucket == nullptr) Grow();
  Bucket* const home = HomeOf(hash);
  Put(fid, home, found, entry);
  *inserted = true;
  if (IsFull(num_keys) || IsCrowded(found.bucket - home, num_keys)) Grow();
}

void FidIndex::Erase(const Place& place) {
  {
    const Change change(place.home);
    place.bucket->entries[place.bucket->CellOf(place.entry)].store(kNoEntry, std::memory_order_release);
  }
  Bucket::AddOverflow(place.home, place.bucket, -1);
}

void FidIndex::Rebuild(uint64_t homes) {
  std::unique_ptr<Array> next = NextArray(homes);
  Array* const old = array_.load(std::memory_order_relaxed);
  while (!ArrayCopy(*old, *next).Run()) next = NextArray(next->num_homes + 1);
  Publish(std::move(next));
  old->replaced.store(true, std::memory_order_release);
  epochs_->Retire([old] { delete old; });
}

void FidIndex::Reserve(uint64_t num_keys) {
  if (grow_at_ < num_keys) Rebuild(static_cast<uint64_t>(num_keys / (kCellsPerBucket * kMaxLoad)) + 1);
}

void FidIndex::ForEachAtHome(const Bucket* home, const std::function<void(int64_t, uint32_t)>& visit) const {
  const Array& array = *Current();
  for (const Bucket* bucket = home; bucket != array.end(); ++bucket) {
    for (int c = 0; c < kCellsPerBucket; ++c) {
      const uint32_t entry = bucket->entries[c].load(std::memory_order_relaxed);
      const int64_t fid = bucket->fids[c].load(std::memory_order_relaxed);
      if (entry != kNoEntry && array.HomeOf(HashFid(fid).home) == home) visit(fid, entry);
    }
    if (!bucket->passed()) return;
  }
}

uint64_t FidIndex::HashAfterHome(const Bucket* home) const {
  const uint64_t next = home - Current()->buckets + 1;
  const uint64_t homes = Current()->num_homes;
  if (next == homes) return 0;
  return static_cast<uint64_t>(((static_cast<unsigned __int128>(next) << 64) + homes - 1) / homes);
}

}  // namespace monolith
