// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/entry_slab.h"

#include <algorithm>
#include <new>
#include <utility>

namespace monolith {
namespace {

constexpr size_t kMostRunBytes = 32 << 10;
constexpr uint64_t kMostRun = 256;
// A run is at most this part of the entries before it, so that runs not used up cost little.
constexpr uint64_t kRunsPerSlab = 64;

}  // namespace

EntrySlab::Numbers EntrySlab::AllocateRun() {
  const uint64_t most = std::min<uint64_t>(kMostRun, std::max<uint64_t>(1, kMostRunBytes / stride_));
  const uint64_t count = std::clamp<uint64_t>(next_.load(std::memory_order_relaxed) / kRunsPerSlab, 1, most);
  const uint64_t begin = next_.fetch_add(count, std::memory_order_relaxed);
  if (begin + count > kMaxEntry) throw std::bad_alloc();
  const auto first = static_cast<uint32_t>(begin + 1);
  const uint64_t from = Shifted(first), to = from + count - 1;
  for (int bit = 63 - __builtin_clzll(from); bit <= 63 - __builtin_clzll(to); ++bit) {
    if (chunks_[bit].bytes.load(std::memory_order_acquire) == 0) AddChunk(bit);
  }
  PopulateAhead(from, count);
  return {first, static_cast<uint32_t>(count)};
}

void EntrySlab::PopulateAhead(uint64_t shifted, uint32_t count) {
  const int bit = 63 - __builtin_clzll(shifted);
  const uint64_t first = uint64_t{1} << bit, chunk_bytes = first * stride_;
  char* const data = reinterpret_cast<char*>(chunks_[bit].bytes.load(std::memory_order_acquire) + first * stride_);
  const uint64_t offset = shifted - first;
  const uint64_t end = std::min((offset + count) * stride_, chunk_bytes);
  for (uint64_t page = offset * stride_ / kHugePage + 1; page * kHugePage <= end; ++page) {
    const uint64_t ahead = (page + 1) * kHugePage;
    if (ahead + kHugePage <= chunk_bytes) PopulatePages(data + ahead, kHugePage);
  }
}

void EntrySlab::AddChunk(int bit) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (chunks_[bit].bytes.load(std::memory_order_relaxed) != 0) return;
  const uint64_t entries = uint64_t{1} << bit;
  PageBuffer buffer(entries * (stride_ + sizeof(uint32_t)), PageBuffer::Use::kSparse);
  const auto at = reinterpret_cast<uintptr_t>(buffer.data());
  buffers_.push_back(std::move(buffer));
  chunks_[bit].stamps.store(at + entries * stride_ - entries * sizeof(uint32_t), std::memory_order_relaxed);
  chunks_[bit].bytes.store(at - entries * stride_, std::memory_order_release);
}

uint32_t EntryRun::Allocate(EntrySlab* slab) {
  if (left_ == 0) {
    const EntrySlab::Numbers numbers = slab->AllocateRun();
    next_ = numbers.first;
    left_ = numbers.count;
  }
  --left_;
  return next_++;
}

}  // namespace monolith
