// SPDX-License-Identifier: Apache-2.0
// Approximate counts of fids in small cells: how often was this fid seen, up to 15 times?
//
// A cell is 0 while it is empty, else signature * 16 + count. A fid's place is the first cell, of a window that starts
// at Mix64(fid) mod total_size, that is empty or carries its signature (the highest bits of Mix64(fid)); fids whose
// windows overlap and whose signatures agree share one count, so an answer may be too high, never too low.
//
// Cells fill but never empty (Clear apart, which needs the filter to itself). That makes the filter safe without locks:
// a cell is claimed by one compare-and-swap, and who loses it looks again and finds either its own signature there, or
// one more cell to step over. Two threads with one fid therefore always end at the same cell.
#ifndef CC_HASH_TABLE_CELL_FILTER_H_
#define CC_HASH_TABLE_CELL_FILTER_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cc/hash_table/memory.h"

namespace monolith {

// Counts saturate here.
constexpr int kMaxFilterCount = 15;

// Cells behind the last start of a window, so that no window wraps.
constexpr uint64_t kSpareFilterCells = 64;

inline int SaturatedCount(int64_t count) { return static_cast<int>(std::clamp<int64_t>(count, 0, kMaxFilterCount)); }

template <typename Cell>
class CellFilter {
 public:
  // A cell of a fid's window and what it held; `cell` is null when the window is full of other fids.
  struct Place {
    std::atomic<Cell>* cell;
    Cell value;
    bool found() const { return cell != nullptr; }
    bool empty() const { return value == 0; }
    int count() const { return value & kMaxFilterCount; }
  };

  // Plans for `capacity` fids with `fill_rate` cells each; a window has `max_step` cells, at most kSpareFilterCells.
  // The cells cost no memory until they are written. Throws TableError if offsets would not fit 32 bits.
  CellFilter(uint64_t capacity, double fill_rate, int max_step = kSpareFilterCells);
  // The same with a given number of starts, as a saved filter has it.
  CellFilter(uint64_t capacity, double fill_rate, int max_step, uint64_t total_size);
  CellFilter(const CellFilter&) = delete;
  CellFilter& operator=(const CellFilter&) = delete;

  // Counts `count` (at most 15) more sightings and returns how many there were; 15 if the window is full. A count of 0
  // or less only reads.
  int Add(int64_t fid, int64_t count);
  // 0 for a fid that was never added, 15 if the window is full.
  int Get(int64_t fid) const;

  // The steps of Add, for filters that are made of several. `hash` is Mix64(fid).
  Place Find(uint64_t hash) const;
  // Requires: `place` is not empty. Counts there; returns the count before.
  int AddAt(const Place& place, int count);
  // Requires: `place` is empty. Stores `count` for the fid; false if another thread has taken the cell.
  bool Claim(const Place& place, uint64_t hash, int count);

  // Requires: nobody else uses the filter, for both.
  void Clear();
  void SetElements(uint64_t num_elements, uint64_t failure_count);

  // Reads or writes `n` cells from `offset` on. Requires: they exist.
  void ReadCells(uint64_t offset, uint64_t n, Cell* values) const;
  void WriteCells(uint64_t offset, uint64_t n, const Cell* values);

  uint64_t capacity() const { return capacity_; }
  double fill_rate() const { return fill_rate_; }
  uint64_t total_size() const { return total_size_; }
  uint64_t num_cells() const { return total_size_ + kSpareFilterCells; }
  // Cells in use, capped at the capacity.
  uint64_t num_elements() const { return std::min(num_elements_.load(std::memory_order_relaxed), capacity_); }
  // Additions that found the window full.
  uint64_t failure_count() const { return failure_count_.load(std::memory_order_relaxed); }

 private:
  static Cell SignatureOf(uint64_t hash) {
    // The cell's bits but four, from the top of the hash, in the place where a cell has them.
    constexpr int kSignatureBits = 8 * sizeof(Cell) - 4;
    return static_cast<Cell>((hash >> (64 - kSignatureBits)) << 4);
  }
  std::atomic<Cell>* cells() const { return reinterpret_cast<std::atomic<Cell>*>(memory_.data()); }

  const uint64_t capacity_;
  const double fill_rate_;
  const int max_step_;
  const uint64_t total_size_;
  PageBuffer memory_;
  alignas(64) std::atomic<uint64_t> num_elements_{0};  // apart from what every addition reads
  std::atomic<uint64_t> failure_count_{0};
};

extern template class CellFilter<uint8_t>;
extern template class CellFilter<uint16_t>;

}  // namespace monolith

#endif  // CC_HASH_TABLE_CELL_FILTER_H_
