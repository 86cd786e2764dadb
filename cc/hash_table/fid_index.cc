// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/fid_index.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "cc/hash_table/hashing.h"

namespace monolith {
namespace {

constexpr uint32_t kLockedBit = 1u << 0;
constexpr uint32_t kFrozenBit = 1u << 1;
constexpr uint32_t kVersionUnit = 1u << 2;
constexpr uint32_t kLowMask = (1u << 24) - 1;  // lock, frozen mark and version
constexpr uint32_t kOverflowUnit = 1u << 24;
constexpr uint32_t kOverflowMax = 255;
constexpr uint32_t kReserved = 0xFFFFFFFFu;

constexpr double kGrowth = 1.4;
constexpr double kMaxLoad = 0.8;
constexpr double kFirstHomes = 2;

uint32_t Overflow(uint32_t control) { return control >> 24; }

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins a little, then gives the core away: the lock's holder may need it.
class Backoff {
 public:
  void Wait() {
    if (++rounds_ < 64) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }

 private:
  int rounds_ = 0;
};

// Returns the entry if cell `c` belongs to `fid`. The entry number is read before the fid is confirmed: a cell that
// changed hands in between shows another fid, and a cell that changed away and back has changed the home's version.
inline uint32_t EntryIfMatches(const Bucket& bucket, int c, int64_t fid) {
  if (bucket.fids[c].load(std::memory_order_relaxed) != fid) return FidIndex::kNoEntry;
  const uint32_t entry = bucket.entries[c].load(std::memory_order_acquire);
  if (entry == kReserved || bucket.fids[c].load(std::memory_order_relaxed) != fid) return FidIndex::kNoEntry;
  return entry;
}

// Calls `on_cell(bucket, cell, entry)` for the cell of `fid`; returns false if no cell from `home` on has it.
template <typename OnCell>
inline bool Probe(const FidIndex::Array& array, Bucket* home, int64_t fid, OnCell on_cell) {
  const Bucket* end = array.buckets + array.num_buckets;
  for (Bucket* bucket = home; bucket != end; ++bucket) {
    for (int c = 0; c < kCellsPerBucket; ++c) {
      const uint32_t entry = EntryIfMatches(*bucket, c, fid);
      if (entry != FidIndex::kNoEntry) {
        on_cell(bucket, c, entry);
        return true;
      }
    }
    if (Overflow(bucket->control.load(std::memory_order_acquire)) == 0) return false;
  }
  return false;
}

inline uint32_t FindFrom(const FidIndex::Array& array, Bucket* home, int64_t fid) {
  uint32_t found = FidIndex::kNoEntry;
  Probe(array, home, fid, [&found](Bucket*, int, uint32_t entry) { found = entry; });
  return found;
}

void AddOverflow(Bucket* bucket, int change) {
  uint32_t control = bucket->control.load(std::memory_order_relaxed);
  do {
    if (Overflow(control) == kOverflowMax) return;  // sticky: how many passed is no longer known
  } while (!bucket->control.compare_exchange_weak(control, control + change * kOverflowUnit, std::memory_order_acq_rel,
                                                  std::memory_order_relaxed));
}

// Claims the first empty cell from `home` on and marks the buckets passed. Returns false, having changed nothing, when
// there is none.
bool Claim(const FidIndex::Array& array, Bucket* home, int64_t fid, uint32_t entry) {
  const Bucket* end = array.buckets + array.num_buckets;
  for (Bucket* bucket = home; bucket != end; ++bucket) {
    for (int c = 0; c < kCellsPerBucket; ++c) {
      uint32_t empty = FidIndex::kNoEntry;
      if (bucket->entries[c].load(std::memory_order_relaxed) != FidIndex::kNoEntry ||
          !bucket->entries[c].compare_exchange_strong(empty, kReserved, std::memory_order_acq_rel)) {
        continue;
      }
      for (Bucket* passed = home; passed != bucket; ++passed) AddOverflow(passed, 1);
      bucket->fids[c].store(fid, std::memory_order_relaxed);
      bucket->entries[c].store(entry, std::memory_order_release);
      return true;
    }
  }
  return false;
}

// Freezes a bucket once no writer holds it.
void Freeze(Bucket* bucket) {
  Backoff backoff;
  uint32_t control = bucket->control.load(std::memory_order_relaxed);
  while (true) {
    if (control & kLockedBit) {
      backoff.Wait();
      control = bucket->control.load(std::memory_order_relaxed);
    } else if (bucket->control.compare_exchange_weak(control, control | kFrozenBit, std::memory_order_acq_rel,
                                                     std::memory_order_relaxed)) {
      return;
    }
  }
}

// Puts a key into an array that no other thread sees yet: plain loads and stores.
bool Place(FidIndex::Array* array, int64_t fid, uint32_t entry) {
  Bucket* home = array->HomeOf(HashFid(fid).home);
  const Bucket* end = array->buckets + array->num_buckets;
  for (Bucket* bucket = home; bucket != end; ++bucket) {
    for (int c = 0; c < kCellsPerBucket; ++c) {
      if (bucket->entries[c].load(std::memory_order_relaxed) != FidIndex::kNoEntry) continue;
      bucket->fids[c].store(fid, std::memory_order_relaxed);
      bucket->entries[c].store(entry, std::memory_order_relaxed);
      for (Bucket* passed = home; passed != bucket; ++passed) {
        const uint32_t control = passed->control.load(std::memory_order_relaxed);
        if (Overflow(control) != kOverflowMax) {
          passed->control.store(control + kOverflowUnit, std::memory_order_relaxed);
        }
      }
      return true;
    }
  }
  return false;
}

// Returns false when a key found no cell.
bool CopyAll(const FidIndex::Array& from, FidIndex::Array* to) {
  for (uint64_t b = 0; b < from.num_buckets; ++b) {
    const Bucket& bucket = from.buckets[b];
    for (int c = 0; c < kCellsPerBucket; ++c) {
      const uint32_t entry = bucket.entries[c].load(std::memory_order_relaxed);
      if (entry == FidIndex::kNoEntry) continue;
      if (!Place(to, bucket.fids[c].load(std::memory_order_relaxed), entry)) return false;
    }
  }
  return true;
}

}  // namespace

FidIndex::Array::Array(uint64_t homes, uint64_t spares)
    : num_homes(homes),
      num_buckets(homes + spares),
      memory(num_buckets * sizeof(Bucket), PageBuffer::Use::kWhole),
      buckets(reinterpret_cast<Bucket*>(memory.data())) {}

FidIndex::FidIndex(double phase, EpochManager* epochs) : phase_(phase), epochs_(epochs), array_(nullptr) {
  Publish(NextArray(1));
}

FidIndex::~FidIndex() { delete Current(); }

std::unique_ptr<FidIndex::Array> FidIndex::NextArray(uint64_t homes) {
  double steps = std::ceil(std::log(homes / kFirstHomes) / std::log(kGrowth) - phase_);
  uint64_t next = 0;
  do {
    next = static_cast<uint64_t>(std::ceil(kFirstHomes * std::pow(kGrowth, std::max(steps, 0.0) + phase_)));
    steps += 1;
  } while (next < homes);
  const uint64_t spares = 4 + std::min<uint64_t>(next / 8, 60);
  return std::make_unique<Array>(next, spares);
}

void FidIndex::Publish(std::unique_ptr<Array> next) {
  grow_at_.store(static_cast<uint64_t>(next->num_homes * kCellsPerBucket * kMaxLoad), std::memory_order_relaxed);
  array_.store(next.release(), std::memory_order_seq_cst);
}

FidIndex::Sighting FidIndex::Find(int64_t fid, uint64_t hash) const {
  Backoff backoff;
  while (true) {
    const Array* array = Current();
    Bucket* home = array->HomeOf(hash);
    const uint32_t control = home->control.load(std::memory_order_acquire);
    if ((control & kLockedBit) == 0) return {array, home, control, FindFrom(*array, home, fid)};
    backoff.Wait();
  }
}

uint32_t FidIndex::Peek(int64_t fid, uint64_t hash) const {
  const Array* array = Current();
  return FindFrom(*array, array->HomeOf(hash), fid);
}

bool FidIndex::Validate(const Sighting& sighting) const {
  std::atomic_thread_fence(std::memory_order_acquire);
  const uint32_t control = sighting.home->control.load(std::memory_order_relaxed);
  return ((control ^ sighting.control) & kLowMask & ~kFrozenBit) == 0 &&
         array_.load(std::memory_order_relaxed) == sighting.array;
}

FidIndex::Locked FidIndex::Lock(uint64_t hash) {
  Backoff backoff;
  while (true) {
    Array* array = Current();
    Bucket* home = array->HomeOf(hash);
    uint32_t control = home->control.load(std::memory_order_relaxed);
    if (control & kFrozenBit) {
      std::lock_guard<std::mutex> wait_for_growth(growth_mutex_);
    } else if (control & kLockedBit) {
      backoff.Wait();
    } else if (home->control.compare_exchange_weak(control, control | kLockedBit, std::memory_order_acq_rel,
                                                   std::memory_order_relaxed)) {
      // Whoever copies something this writer stores afterwards sees the lock bit when it validates.
      std::atomic_thread_fence(std::memory_order_release);
      return {array, home, control | kLockedBit};
    }
  }
}

uint32_t FidIndex::FindLocked(const Locked& locked, int64_t fid) const {
  return FindFrom(*locked.array, locked.home, fid);
}

bool FidIndex::InsertLocked(const Locked& locked, int64_t fid, uint32_t entry) {
  return Claim(*locked.array, locked.home, fid, entry);
}

void FidIndex::EraseLocked(const Locked& locked, int64_t fid) {
  Probe(*locked.array, locked.home, fid, [&locked](Bucket* bucket, int c, uint32_t) {
    bucket->entries[c].store(kNoEntry, std::memory_order_release);
    for (Bucket* passed = locked.home; passed != bucket; ++passed) AddOverflow(passed, -1);
  });
}

void FidIndex::Unlock(const Locked& locked) {
  // Only the overflow byte may have changed under the lock; the low 24 bits are this thread's.
  const uint32_t low = locked.control & kLowMask;
  const uint32_t next = ((low & ~kLockedBit) + kVersionUnit) & kLowMask;
  locked.home->control.fetch_add(next - low, std::memory_order_release);
}

void FidIndex::ForEachAtHome(const Locked& locked, const std::function<void(int64_t, uint32_t)>& visit) const {
  const Bucket* end = locked.array->buckets + locked.array->num_buckets;
  for (const Bucket* bucket = locked.home; bucket != end; ++bucket) {
    for (int c = 0; c < kCellsPerBucket; ++c) {
      // Other homes' cells may change hands meanwhile; the keys of this home stay where they are.
      const int64_t fid = bucket->fids[c].load(std::memory_order_relaxed);
      const uint32_t entry = EntryIfMatches(*bucket, c, fid);
      if (entry != kNoEntry && locked.array->HomeOf(HashFid(fid).home) == locked.home) visit(fid, entry);
    }
    if (Overflow(bucket->control.load(std::memory_order_acquire)) == 0) return;
  }
}

uint64_t FidIndex::HashAfterHome(const Locked& locked) const {
  const uint64_t next = locked.home - locked.array->buckets + 1;
  const uint64_t homes = locked.array->num_homes;
  if (next == homes) return 0;
  return static_cast<uint64_t>(((static_cast<unsigned __int128>(next) << 64) + homes - 1) / homes);
}

void FidIndex::Rebuild(Array* old, uint64_t homes) {
  std::unique_ptr<Array> next = NextArray(homes);  // before anything is frozen: it may throw
  for (uint64_t b = 0; b < old->num_buckets; ++b) Freeze(&old->buckets[b]);
  try {
    while (!CopyAll(*old, next.get())) next = NextArray(next->num_homes + 1);
  } catch (...) {
    for (uint64_t b = 0; b < old->num_buckets; ++b) {
      old->buckets[b].control.fetch_and(~kFrozenBit, std::memory_order_acq_rel);
    }
    throw;
  }
  Publish(std::move(next));
  epochs_->Retire([old] { delete old; });
}

void FidIndex::Grow(const Array* seen) {
  std::lock_guard<std::mutex> lock(growth_mutex_);
  Array* old = Current();
  if (old == seen) Rebuild(old, old->num_homes + 1);
}

void FidIndex::Reserve(uint64_t num_keys) {
  std::lock_guard<std::mutex> lock(growth_mutex_);
  if (GrowAt() >= num_keys) return;
  Rebuild(Current(), static_cast<uint64_t>(num_keys / (kCellsPerBucket * kMaxLoad)) + 1);
}

}  // namespace monolith
