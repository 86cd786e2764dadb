// SPDX-License-Identifier: Apache-2.0
// Where entries live: chunks of fixed-stride entries that never move.
//
//   chunk k:  | entry 0 | entry 1 | ... | entry 64*2^k - 1 | stamps: uint32 per entry |
//
// A chunk has twice the entries of the one before, so 27 chunks hold 2^32 entries and an index finds its chunk with one
// bit scan. Pages that no entry has reached are never touched and cost nothing. The update stamps lie behind the
// entries: an entry whose size is a multiple of 64 bytes then starts on a cache line, and readers skip the stamps.
//
// Entries are handed out in runs, so that writers of different shards meet here once in a while only (EntryRun).
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

  // Returns the first of `count` fresh entries with consecutive numbers, whose bytes are zero. Throws std::bad_alloc
  // when the memory or the numbers are used up. Any thread may call.
  uint32_t AllocateRun(uint32_t count);

  struct Entry {
    char* bytes;
    std::atomic<uint32_t>* stamp;  // update time
  };

  Entry Find(uint32_t entry) const {
    const Place place = PlaceOf(entry);
    char* chunk = chunks_[place.chunk].load(std::memory_order_acquire);
    auto* stamps = reinterpret_cast<std::atomic<uint32_t>*>(chunk + ChunkEntries(place.chunk) * stride_);
    return {chunk + place.offset * stride_, stamps + place.offset};
  }
  char* At(uint32_t entry) const { return Find(entry).bytes; }
  std::atomic<uint32_t>* StampAt(uint32_t entry) const { return Find(entry).stamp; }

  size_t stride() const { return stride_; }
  // Bytes that entries handed out occupy, stamps included.
  size_t UsedBytes() const { return next_.load(std::memory_order_relaxed) * (stride_ + sizeof(uint32_t)); }

 private:
  static constexpr int kFirstBits = 6;
  static constexpr int kNumChunks = 33 - kFirstBits;
  struct Place {
    uint32_t chunk;
    uint64_t offset;
  };

  static uint64_t ChunkEntries(uint32_t chunk) { return uint64_t{1} << (kFirstBits + chunk); }

  static Place PlaceOf(uint32_t entry) {
    const uint64_t shifted = uint64_t{entry} - 1 + (1u << kFirstBits);
    const uint32_t chunk = 63 - __builtin_clzll(shifted) - kFirstBits;
    return {chunk, shifted - ChunkEntries(chunk)};
  }

  char* AddChunk(uint32_t chunk);
  // The thread whose run begins a huge page has the system prepare the one after it, while the others go on: else all
  // of them would wait for the same page.
  void PopulateAhead(char* data, const Place& place, uint32_t count);

  const size_t stride_;
  std::array<std::atomic<char*>, kNumChunks> chunks_{};
  alignas(64) std::atomic<uint64_t> next_{0};  // entries ever handed out
  alignas(64) std::mutex mutex_;
  std::vector<PageBuffer> buffers_;  // guarded by mutex_
};

// What one shard has of a slab: the rest of its last run, and the entries that its erased keys gave back. Used by one
// thread at a time.
class EntryRun {
 public:
  explicit EntryRun(EntrySlab* slab) : slab_(*slab) {}

  // Returns an entry whose bytes are unspecified. `num_keys` is how many the shard has: small shards take short runs.
  // Throws std::bad_alloc when the memory or the numbers are used up.
  uint32_t Allocate(uint64_t num_keys);

  // What Allocate would return next, if that is known; else 0.
  uint32_t Next() const { return !free_.empty() ? free_.back() : left_ > 0 ? next_ : 0; }

  // Gives an entry back. Requires: no index cell refers to it. A reader may still be copying from it; what it copies
  // is then thrown away, for the version it checks has changed.
  void Free(uint32_t entry) { free_.push_back(entry); }

 private:
  EntrySlab& slab_;
  uint32_t next_ = 0;
  uint32_t left_ = 0;
  std::vector<uint32_t> free_;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_SLAB_H_
