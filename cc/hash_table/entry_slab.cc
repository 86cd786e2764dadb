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
  const uint32_t chunk = PlaceOf(static_cast<uint32_t>(entry)).chunk;
  if (chunks_[chunk].load(std::memory_order_acquire) == nullptr) AddChunk(chunk);
  return static_cast<uint32_t>(entry);
}

void EntrySlab::AddChunk(uint32_t chunk) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (chunks_[chunk].load(std::memory_order_relaxed) != nullptr) return;
  PageBuffer buffer(ChunkEntries(chunk) * (stride_ + sizeof(uint32_t)));
  char* data = buffer.data();
  buffers_.push_back(std::move(buffer));
  chunks_[chunk].store(data, std::memory_order_release);
}

void EntrySlab::Free(uint32_t entry) {
  std::lock_guard<std::mutex> lock(mutex_);
  free_.push_back(entry);
  num_free_.store(static_cast<uint32_t>(free_.size()), std::memory_order_relaxed);
}

}  // namespace monolith
