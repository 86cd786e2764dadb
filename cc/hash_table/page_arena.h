// SPDX-License-Identifier: Apache-2.0
// Blocks that share huge pages: what is smaller than a few of them, or no whole number of them.
//
// The index of a table is 64 arrays, each of which is replaced by one 1.4 times as large again and again. Mapped one by
// one, they lie on 4096-byte pages, which cost a fault and a slow clearing each, and every probe a walk of page tables.
// Here they lie side by side in pages of 2 MiB. Whoever frees a block leaves a hole, which the next that fits takes; a
// page with no block left goes back to the system at once. Arrays of one table are replaced in the order in which they
// were made, so the holes grow together: blocks are 0.9 of the bytes that their pages occupy.
#ifndef CC_HASH_TABLE_PAGE_ARENA_H_
#define CC_HASH_TABLE_PAGE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace monolith {

class PageArena {
 public:
  PageArena() = default;
  // Requires: no block is in use.
  ~PageArena();
  PageArena(const PageArena&) = delete;
  PageArena& operator=(const PageArena&) = delete;

  static constexpr size_t kUnit = 4096;
  static constexpr size_t kMostBytes = size_t{16} << 20;

  // The arena of the process. It is never destroyed.
  static PageArena& Get();

  // Returns `bytes` zero bytes, aligned to kUnit. Requires: a multiple of kUnit, at most kMostBytes. Throws
  // std::bad_alloc when the system has no memory left.
  char* Allocate(size_t bytes);
  // Takes back a block of Allocate, of the size it was asked for.
  void Free(char* block, size_t bytes);

  // Bytes of the pages that hold a block.
  size_t HeldBytes() const;

 private:
  static constexpr size_t kSegmentBytes = size_t{64} << 20;  // of addresses; pages come with their first block

  // Of one huge page. Bytes from `clean_from` on are zero, for nobody has had them since the page came.
  struct Page {
    size_t used = 0;
    size_t clean_from = 0;
  };
  struct Segment {
    char* base;
    std::map<size_t, size_t> holes;  // offset to size
    std::vector<Page> pages;
  };
  struct Taken {
    Segment* segment;
    size_t offset;
  };

  Taken Take(size_t bytes);
  Segment* AddSegment();
  Segment* SegmentOf(const char* block);
  // The ranges of the block that may hold what others left: [offset, size] in the segment.
  std::vector<std::pair<size_t, size_t>> Occupy(Segment* segment, size_t offset, size_t bytes);
  void Vacate(Segment* segment, size_t offset, size_t bytes);
  static void AddHole(Segment* segment, size_t offset, size_t bytes);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Segment>> segments_;  // guarded by mutex_
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_PAGE_ARENA_H_
