// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/distinct_fids.h"

using std::size_t;

namespace monolith {

DistinctFids::DistinctFids(int64_t expected) {
  size_t cells = 16;
  while (cells < static_cast<size_t>(2 * expected)) cells *= 2;
  cells_.assign(cells, 0);
  fids_.reserve(expected);
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
