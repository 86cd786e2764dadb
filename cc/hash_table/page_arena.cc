// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/page_arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "cc/hash_table/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#define MONOLITH_POISONS_HOLES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MONOLITH_POISONS_HOLES 1
#endif
#endif
#if defined(MONOLITH_POISONS_HOLES)
#include <sanitizer/asan_interface.h>
#endif

namespace monolith {
namespace {

// Under AddressSanitizer, a use of a block that was freed is found as if the block were the heap's.
void Poison(const char* at, size_t bytes, bool poison) {
#if defined(MONOLITH_POISONS_HOLES)
  if (poison) {
    ASAN_POISON_MEMORY_REGION(at, bytes);
  } else {
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
  }
#else
  static_cast<void>(at);
  static_cast<void>(bytes);
  static_cast<void>(poison);
#endif
}

// Calls visit(page number, begin, end) for the part of [offset, offset + bytes) in every huge page that it touches;
// begin and end count from the start of the page.
template <typename Visit>
void ForEachPage(size_t offset, size_t bytes, Visit visit) {
  for (size_t end = offset + bytes; offset < end;) {
    const size_t page = offset / kHugePage, base = page * kHugePage;
    const size_t until = std::min(end, base + kHugePage);
    visit(page, offset - base, until - base);
    offset = until;
  }
}

}  // namespace

PageArena& PageArena::Get() {
  static auto* arena = new PageArena();
  return *arena;
}

PageArena::~PageArena() {
  for (const auto& segment : segments_) {
    Poison(segment->base, kSegmentBytes, false);  // the addresses may come to others
    munmap(segment->base, kSegmentBytes);
  }
}

PageArena::Segment* PageArena::AddSegment() {
  auto segment = std::make_unique<Segment>();
  segment->base = MapHugePages(kSegmentBytes);
  segment->pages.resize(kSegmentBytes / kHugePage);
  segment->holes.emplace(0, kSegmentBytes);
  Poison(segment->base, kSegmentBytes, true);
  segments_.push_back(std::move(segment));
  return segments_.back().get();
}

// The first hole that is large enough: what is used stays together at the front.
PageArena::Taken PageArena::Take(size_t bytes) {
  const auto take_from = [bytes](Segment* segment) -> Taken {
    for (auto hole = segment->holes.begin(); hole != segment->holes.end(); ++hole) {
      const auto [offset, size] = *hole;
      if (size < bytes) continue;
      segment->holes.erase(hole);
      if (size > bytes) segment->holes.emplace(offset + bytes, size - bytes);
      return {segment, offset};
    }
    return {nullptr, 0};
  };
  for (const auto& segment : segments_) {
    const Taken taken = take_from(segment.get());
    if (taken.segment != nullptr) return taken;
  }
  return take_from(AddSegment());
}

std::vector<std::pair<size_t, size_t>> PageArena::Occupy(Segment* segment, size_t offset, size_t bytes) {
  std::vector<std::pair<size_t, size_t>> dirty;
  ForEachPage(offset, bytes, [&](size_t number, size_t begin, size_t end) {
    Page& page = segment->pages[number];
    if (begin < page.clean_from) dirty.emplace_back(number * kHugePage + begin, std::min(end, page.clean_from) - begin);
    page.clean_from = std::max(page.clean_from, end);
    page.used += end - begin;
  });
  return dirty;
}

char* PageArena::Allocate(size_t bytes) {
  Taken taken;
  std::vector<std::pair<size_t, size_t>> dirty;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    taken = Take(bytes);
    dirty = Occupy(taken.segment, taken.offset, bytes);
  }
  char* const block = taken.segment->base + taken.offset;
  Poison(block, bytes, false);
  PopulatePages(block, bytes);
  for (const auto& [offset, size] : dirty) std::memset(taken.segment->base + offset, 0, size);
  return block;
}

PageArena::Segment* PageArena::SegmentOf(const char* block) {
  const auto holds = [block](const auto& segment) {
    return block >= segment->base && block < segment->base + kSegmentBytes;
  };
  return std::find_if(segments_.begin(), segments_.end(), holds)->get();
}

void PageArena::AddHole(Segment* segment, size_t offset, size_t bytes) {
  auto& holes = segment->holes;
  const auto next = holes.lower_bound(offset);
  if (next != holes.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first;
      bytes += before->second;
      holes.erase(before);
    }
  }
  if (next != holes.end() && next->first == offset + bytes) {
    bytes += next->second;
    holes.erase(next);
  }
  holes.emplace(offset, bytes);
}

void PageArena::Vacate(Segment* segment, size_t offset, size_t bytes) {
  ForEachPage(offset, bytes, [&](size_t number, size_t begin, size_t end) {
    Page& page = segment->pages[number];
    page.used -= end - begin;
    if (page.used > 0) return;
    // Private memory that is given back reads as zeros when it is touched again.
    if (madvise(segment->base + number * kHugePage, kHugePage, MADV_DONTNEED) == 0) page.clean_from = 0;
  });
}

void PageArena::Free(char* block, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Segment* const segment = SegmentOf(block);
  const size_t offset = block - segment->base;
  Poison(block, bytes, true);
  Vacate(segment, offset, bytes);
  AddHole(segment, offset, bytes);
}

size_t PageArena::HeldBytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  size_t held = 0;
  for (const auto& segment : segments_) {
    for (const Page& page : segment->pages) held += page.used > 0 ? kHugePage : 0;
  }
  return held;
}

}  // namespace monolith
