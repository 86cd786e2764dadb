// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_DISTINCT_FIDS_H_
#define CC_HASH_TABLE_DISTINCT_FIDS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cc/hash_table/hashing.h"

namespace monolith {

// The distinct fids of a batch, numbered in the order of their first occurrence: open addressing over 32-bit cells.
class DistinctFids {
 public:
  explicit DistinctFids(int64_t expected);

  // The number of `fid`; it is new if that is what size() was before.
  int32_t Add(int64_t fid) {
    if (2 * fids_.size() >= cells_.size()) Rehash(2 * cells_.size());
    const std::size_t mask = cells_.size() - 1;
    std::size_t cell = Mix64(static_cast<uint64_t>(fid)) & mask;
    while (cells_[cell] != 0) {
      if (fids_[cells_[cell] - 1] == fid) return cells_[cell] - 1;
      cell = (cell + 1) & mask;
    }
    fids_.push_back(fid);
    cells_[cell] = static_cast<int32_t>(fids_.size());
    return cells_[cell] - 1;
  }
  int64_t size() const { return static_cast<int64_t>(fids_.size()); }
  const std::vector<int64_t>& fids() const { return fids_; }

 private:
  void Rehash(std::size_t cells);

  std::vector<int64_t> fids_;
  std::vector<int32_t> cells_;  // 1 + number, or 0
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_DISTINCT_FIDS_H_
