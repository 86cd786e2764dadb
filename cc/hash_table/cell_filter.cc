// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/cell_filter.h"

#include <limits>
#include <string>

#include "cc/hash_table/hashing.h"
#include "cc/hash_table/table_config.h"

namespace monolith {
namespace {

uint64_t CheckedTotalSize(double total_size) {
  // Saved cells are numbered by 32 bits.
  constexpr double kMost = static_cast<double>(std::numeric_limits<uint32_t>::max() - kSpareFilterCells);
  if (!(total_size >= 0 && total_size <= kMost)) {
    throw TableError("an occurrence filter with " + std::to_string(total_size) +
                     " cells in one split: at most 4294967231 are possible; lower its capacity or use more splits.");
  }
  return std::max<uint64_t>(1, static_cast<uint64_t>(total_size));
}

}  // namespace

template <typename Cell>
CellFilter<Cell>::CellFilter(uint64_t capacity, double fill_rate, int max_step)
    : CellFilter(capacity, fill_rate, max_step, CheckedTotalSize(static_cast<double>(capacity) * fill_rate)) {}

template <typename Cell>
CellFilter<Cell>::CellFilter(uint64_t capacity, double fill_rate, int max_step, uint64_t total_size)
    : capacity_(capacity),
      fill_rate_(fill_rate),
      max_step_(std::min<int>(max_step, kSpareFilterCells)),
      total_size_(CheckedTotalSize(static_cast<double>(total_size))),
      memory_(num_cells() * sizeof(Cell), PageBuffer::Use::kSparse) {
  static_assert(sizeof(std::atomic<Cell>) == sizeof(Cell), "cells lie side by side");
}

template <typename Cell>
typename CellFilter<Cell>::Place CellFilter<Cell>::Find(uint64_t hash) const {
  const Cell signature = SignatureOf(hash);
  std::atomic<Cell>* const start = cells() + hash % total_size_;
  for (int i = 0; i < max_step_; ++i) {
    const Cell value = start[i].load(std::memory_order_relaxed);
    if (value == 0 || (value & ~kMaxFilterCount) == signature) return {start + i, value};
  }
  return {nullptr, 0};
}

template <typename Cell>
int CellFilter<Cell>::AddAt(const Place& place, int count) {
  Cell value = place.value;
  while (true) {
    const int old = value & kMaxFilterCount;
    const Cell next = static_cast<Cell>((value & ~kMaxFilterCount) | SaturatedCount(old + count));
    if (next == value || place.cell->compare_exchange_weak(value, next, std::memory_order_relaxed)) return old;
  }
}

template <typename Cell>
bool CellFilter<Cell>::Claim(const Place& place, uint64_t hash, int count) {
  Cell expected = 0;
  const Cell value = static_cast<Cell>(SignatureOf(hash) | SaturatedCount(count));
  if (!place.cell->compare_exchange_strong(expected, value, std::memory_order_relaxed)) return false;
  num_elements_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

template <typename Cell>
int CellFilter<Cell>::Add(int64_t fid, int64_t count) {
  if (count <= 0) return Get(fid);
  const uint64_t hash = Mix64(static_cast<uint64_t>(fid));
  while (true) {
    const Place place = Find(hash);
    if (!place.found()) {
      failure_count_.fetch_add(1, std::memory_order_relaxed);
      return kMaxFilterCount;
    }
    if (!place.empty()) return AddAt(place, SaturatedCount(count));
    if (Claim(place, hash, SaturatedCount(count))) return 0;
  }
}

template <typename Cell>
int CellFilter<Cell>::Get(int64_t fid) const {
  const Place place = Find(Mix64(static_cast<uint64_t>(fid)));
  return place.found() ? place.count() : kMaxFilterCount;
}

template <typename Cell>
void CellFilter<Cell>::Clear() {
  if (num_elements_.load(std::memory_order_relaxed) > 0) {
    PageBuffer fresh(num_cells() * sizeof(Cell), PageBuffer::Use::kSparse);
    memory_ = std::move(fresh);
  }
  SetElements(0, 0);
}

template <typename Cell>
void CellFilter<Cell>::SetElements(uint64_t num_elements, uint64_t failure_count) {
  num_elements_.store(num_elements, std::memory_order_relaxed);
  failure_count_.store(failure_count, std::memory_order_relaxed);
}

template <typename Cell>
void CellFilter<Cell>::ReadCells(uint64_t offset, uint64_t n, Cell* values) const {
  for (uint64_t i = 0; i < n; ++i) values[i] = cells()[offset + i].load(std::memory_order_relaxed);
}

template <typename Cell>
void CellFilter<Cell>::WriteCells(uint64_t offset, uint64_t n, const Cell* values) {
  for (uint64_t i = 0; i < n; ++i) {
    if (values[i] != 0) cells()[offset + i].store(values[i], std::memory_order_relaxed);  // zero costs no page
  }
}

template class CellFilter<uint8_t>;
template class CellFilter<uint16_t>;

}  // namespace monolith
