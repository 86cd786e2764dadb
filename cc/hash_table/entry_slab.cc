// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/entry_slab.h"

#include <algorithm>
#include <new>
#include <utility>

namespace monolith {
namespace {

constexpr size_t kMostRunBytes = 16 << 10;
constexpr uint64_t kMostRun = 64;
// A run is at most this part of what a shard holds, so that runs not used up cost little.
constexpr uint64_t kRunsPerShard = 32;

}  // namespace

uint32_t EntrySlab::AllocateRun(uint32_t count) {
  const uint64_t begin = next_.fetch_add(count, std::memory_order_relaxed);
  if (begin + count > kMaxEntry) throw std::bad_alloc();
  const uint32_t first = static_cast<uint32_t>(begin + 1);
  const Place from = PlaceOf(first), to = PlaceOf(first + count - 1);
  for (uint32_t chunk = from.chunk; chunk <= to.chunk; ++chunk) {
    if (chunks_[chunk].load(std::memory_order_acquire) == nullptr) AddChunk(chunk);
  }
  PopulateAhead(chunks_[from.chunk].load(std::memory_order_acquire), from, count);
  return first;
}

void EntrySlab::PopulateAhead(char* data, const Place& place, uint32_t count) {
  const uint64_t chunk_bytes = ChunkEntries(place.chunk) * stride_;
  const uint64_t end = std::min((place.offset + count) * stride_, chunk_bytes);
  for (uint64_t page = place.offset * stride_ / kHugePage + 1; page * kHugePage <= end; ++page) {
    const uint64_t ahead = (page + 1) * kHugePage;
    if (ahead + kHugePage <= chunk_bytes) PopulatePages(data + ahead, kHugePage);
  }
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

uint32_t EntryRun::Allocate(uint64_t num_keys) {
  if (!free_.empty()) {
    const uint32_t entry = free_.back();
    free_.pop_back();
    return entry;
  }
  if (left_ == 0) {
    const uint64_t most = std::min<uint64_t>(kMostRun, std::max<uint64_t>(1, kMostRunBytes / slab_.stride()));
    const auto count = static_cast<uint32_t>(std::clamp<uint64_t>(num_keys / kRunsPerShard, 1, most));
    next_ = slab_.AllocateRun(count);
    left_ = count;
  }
  --left_;
  return next_++;
}

}  // namespace monolith
