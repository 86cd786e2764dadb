// SPDX-License-Identifier: Apache-2.0
// Where entries live: chunks of fixed-stride entries that never move.
//
//   chunk k:  | entry 0 | entry 1 | ... | entry 64*2^k - 1 | stamps: uint32 per entry |
//
// A chunk has twice the entries of the one before, so 27 chunks hold 2^32 entries and an index finds its chunk with one
// bit scan. Pages that no entry has reached are never touched and cost nothing. The update stamps lie behind the
// entries: an entry whose size is a multiple of 64 bytes then starts on a cache line, and readers skip the stamps.
//
// Entries are handed out in runs, so that writers meet here once in a while only (EntryRun).
#ifndef CC_HASH_TABLE_ENTRY_SLAB_H_
#define CC_HASH_TABLE_ENTRY_SLAB_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "cc/hash_table/memory.h"

namespace monolith {

class EntrySlab {
 public:
  // Entries are numbered from 1; 0 is free for the index's own mark.
  static constexpr uint64_t kMaxEntry = 0xFFFFFFFFu;

  explicit EntrySlab(size_t stride) : stride_(stride) {}

  struct Numbers {
    uint32_t first;
    uint32_t count;
  };
  // Returns fresh entries with consecutive numbers, whose bytes are zero: the more, the more there are already. Throws
  // std::bad_alloc when the memory or the numbers are used up. Any thread may call.
  Numbers AllocateRun();

  struct Entry {
    char* bytes;
    std::atomic<uint32_t>* stamp;  // update time
  };

  Entry Find(uint32_t entry) const {
    const uint64_t shifted = Shifted(entry);
    const Chunk& chunk = chunks_[63 - __builtin_clzll(shifted)];
    auto* const bytes = reinterpret_cast<char*>(chunk.bytes.load(std::memory_order_acquire) + shifted * stride_);
    const uintptr_t stamps = chunk.stamps.load(std::memory_order_relaxed);
    return {bytes, reinterpret_cast<std::atomic<uint32_t>*>(stamps + shifted * sizeof(uint32_t))};
  }
  char* At(uint32_t entry) const { return Find(entry).bytes; }
  std::atomic<uint32_t>* StampAt(uint32_t entry) const { return Find(entry).stamp; }

  size_t stride() const { return stride_; }
  // Bytes that entries handed out occupy, stamps included.
  size_t UsedBytes() const { return next_.load(std::memory_order_relaxed) * (stride_ + sizeof(uint32_t)); }

 private:
  static constexpr int kFirstBits = 6;
  static constexpr int kMostBits = 33;

  // Entries are counted on from 2^kFirstBits: then the highest bit of a number tells its chunk, and the chunk of bit b
  // begins with number 2^b. A chunk is known by where number 0 would lie, were it that long.
  struct Chunk {
    std::atomic<uintptr_t> bytes{0};  // 0: there is no chunk yet. Written after stamps
    std::atomic<uintptr_t> stamps{0};
  };
  static uint64_t Shifted(uint32_t entry) { return uint64_t{entry} - 1 + (1u << kFirstBits); }

  // Makes the chunk of bit `bit` unless somebody has.
  void AddChunk(int bit);
  // The thread whose run begins a huge page has the system prepare the one after it, while the others go on: else all
  // of them would wait for the same page.
  void PopulateAhead(uint64_t shifted, uint32_t count);

  const size_t stride_;
  std::array<Chunk, kMostBits> chunks_;
  alignas(64) std::atomic<uint64_t> next_{0};  // entries ever handed out
  alignas(64) std::mutex mutex_;
  std::vector<PageBuffer> buffers_;  // guarded by mutex_
};

// Fresh entries in a row, for one writer at a time: what it inserts then lies side by side, as it came.
class EntryRun {
 public:
  // Returns an entry whose bytes are zero. Throws std::bad_alloc when the memory or the numbers are used up.
  uint32_t Allocate(EntrySlab* slab);
  bool IsEmpty() const { return left_ == 0; }
  // What Allocate will return after `n` more calls, if that is known; else 0.
  uint32_t Ahead(uint32_t n) const { return n < left_ ? next_ + n : 0; }

 private:
  uint32_t next_ = 0;
  uint32_t left_ = 0;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_SLAB_H_
