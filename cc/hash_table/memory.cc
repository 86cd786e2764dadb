// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "cc/hash_table/page_arena.h"

namespace monolith {
namespace {

constexpr size_t kMapFrom = size_t{64} << 10;  // below this, the C library's heap serves

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

char* Map(size_t bytes, int flags) {
  void* raw = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(raw);
}

char* MapAligned(size_t bytes, size_t alignment) {
  const size_t reserve = bytes + alignment;
  char* raw = Map(reserve, 0);
  const auto address = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = RoundUp(address, alignment);
  if (aligned > address) munmap(raw, aligned - address);
  const size_t tail = address + reserve - (aligned + bytes);
  if (tail > 0) munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  return reinterpret_cast<char*>(aligned);
}

}  // namespace

char* MapHugePages(size_t bytes) {
  char* const data = MapAligned(bytes, kHugePage);
  madvise(data, bytes, MADV_HUGEPAGE);  // a hint: a kernel without huge pages refuses it
  return data;
}

void PopulatePages(char* at, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
  madvise(at, bytes, MADV_POPULATE_WRITE);  // where the kernel does not know it, the first touch does the work
#else
  (void)at;
  (void)bytes;
#endif
}

PageBuffer::PageBuffer(size_t bytes, Use use) {
  if (bytes < kMapFrom) {
    bytes_ = RoundUp(bytes, 64);
    data_ = static_cast<char*>(std::aligned_alloc(64, bytes_));
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(data_, 0, bytes_);
    return;
  }
  bytes_ = RoundUp(bytes, PageArena::kUnit);
  shares_pages_ = use == Use::kWhole && bytes_ <= PageArena::kMostBytes;
  if (shares_pages_) {
    data_ = PageArena::Get().Allocate(bytes_);
  } else if (bytes < kHugePage) {
    data_ = Map(bytes_, 0);
  } else {
    data_ = MapHugePages(bytes_);
  }
}

PageBuffer::~PageBuffer() {
  if (data_ == nullptr) return;
  if (bytes_ < kMapFrom) {
    std::free(data_);
  } else if (shares_pages_) {
    PageArena::Get().Free(data_, bytes_);
  } else {
    munmap(data_, bytes_);
  }
}

}  // namespace monolith
