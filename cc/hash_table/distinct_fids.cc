// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/distinct_fids.h"

#include "cc/hash_table/hashing.h"

using std::size_t;

namespace monolith {

DistinctFids::DistinctFids(int64_t expected) {
  size_t cells = 16;
  while (cells < static_cast<size_t>(2 * expected)) cells *= 2;
  cells_.assign(cells, 0);
  fids_.reserve(expected);
}

int32_t DistinctFids::Add(int64_t fid) {
  if (2 * fids_.size() >= cells_.size()) Rehash(2 * cells_.size());
  const size_t mask = cells_.size() - 1;
  size_t cell = Mix64(static_cast<uint64_t>(fid)) & mask;
  while (cells_[cell] != 0) {
    if (fids_[cells_[cell] - 1] == fid) return cells_[cell] - 1;
    cell = (cell + 1) & mask;
  }
  fids_.push_back(fid);
  cells_[cell] = static_cast<int32_t>(fids_.size());
  return cells_[cell] - 1;
}

void DistinctFids::Rehash(size_t cells) {
  cells_.assign(cells, 0);
  for (size_t i = 0; i < fids_.size(); ++i) {
    size_t cell = Mix64(static_cast<uint64_t>(fids_[i])) & (cells - 1);
    while (cells_[cell] != 0) cell = (cell + 1) & (cells - 1);
    cells_[cell] = static_cast<int32_t>(i + 1);
  }
}

}  // namespace monolith
