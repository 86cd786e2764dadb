// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/entry_slab.h"

#include <new>
#include <utility>

namespace monolith {

uint32_t EntrySlab::Allocate() {
  if (num_free_.load(std::memory_order_relaxed) > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!free_.empty()) {
      const uint32_t entry = free_.back();
      free_.pop_back();
      num_free_.store(static_cast<uint32_t>(free_.size()), std::memory_order_relaxed);
      return entry;
    }
  }
  const uint64_t entry = next_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (entry > kMaxEntry) throw std::bad_alloc();
  const Place place = PlaceOf(static_cast<uint32_t>(entry));
  char* data = chunks_[place.chunk].load(std::memory_order_acquire);
  if (data == nullptr) data = AddChunk(place.chunk);
  PopulateAhead(data, place);
  return static_cast<uint32_t>(entry);
}

void EntrySlab::PopulateAhead(char* data, const Place& place) {
  const uint64_t begin = place.offset * stride_;
  const uint64_t chunk_bytes = ChunkEntries(place.chunk) * stride_;
  const uint64_t next_page = (begin + stride_) / kHugePage;
  if (begin / kHugePage == next_page) return;  // not the entry that begins a page
  const uint64_t ahead = (next_page + 1) * kHugePage;
  if (ahead + kHugePage <= chunk_bytes) PopulateHugePage(data + ahead);
}

char* EntrySlab::AddChunk(uint32_t chunk) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (char* made = chunks_[chunk].load(std::memory_order_relaxed)) return made;
  PageBuffer buffer(ChunkEntries(chunk) * (stride_ + sizeof(uint32_t)), PageBuffer::Use::kSparse);
  char* data = buffer.data();
  buffers_.push_back(std::move(buffer));
  chunks_[chunk].store(data, std::memory_order_release);
  return data;
}

void EntrySlab::Free(uint32_t entry) {
  std::lock_guard<std::mutex> lock(mutex_);
  free_.push_back(entry);
  num_free_.store(static_cast<uint32_t>(free_.size()), std::memory_order_relaxed);
}

}  // namespace monolith
