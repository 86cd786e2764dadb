// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/gradient_sum.h"

#include "cc/hash_table/hashing.h"

using std::size_t;

namespace monolith {

int PartOfFid(int64_t fid, int num_parts) {
  return static_cast<int>(((Mix64(static_cast<uint64_t>(fid)) >> 32) * num_parts) >> 32);
}

GradientSum::GradientSum(const int64_t* fids, int64_t n, const float* gradients, int dim, int part, int num_parts)
    : GradientSum({{fids, n, gradients}}, dim, part, num_parts) {}

GradientSum::GradientSum(const std::vector<RowRun>& runs, int dim, int part, int num_parts) : dim_(dim) {
  int64_t total = 0;
  for (const RowRun& run : runs) total += run.n;
  size_t cells = 16;
  while (cells < static_cast<size_t>(2 * total / num_parts)) cells *= 2;
  cells_.assign(cells, 0);
  for (const RowRun& run : runs) {
    for (int64_t i = 0; i < run.n; ++i) {
      if (num_parts == 1 || PartOfFid(run.fids[i], num_parts) == part) Add(run.fids[i], run.rows + i * dim);
    }
  }
}

void GradientSum::Add(int64_t fid, const float* gradient) {
  if (2 * fids_.size() >= cells_.size()) Rehash(2 * cells_.size());
  const size_t mask = cells_.size() - 1;
  size_t cell = Mix64(static_cast<uint64_t>(fid)) & mask;
  while (cells_[cell] != 0 && fids_[cells_[cell] - 1] != fid) cell = (cell + 1) & mask;
  if (cells_[cell] == 0) {
    fids_.push_back(fid);
    rows_.push_back(gradient);
    occurrences_.push_back(1);
    cells_[cell] = static_cast<int32_t>(fids_.size());
    return;
  }
  const size_t at = cells_[cell] - 1;
  if (occurrences_[at]++ == 1) {
    sums_.emplace_back(rows_[at], rows_[at] + dim_);
    rows_[at] = sums_.back().data();
  }
  // The row is one of sums_, which this object owns.
  float* sum = const_cast<float*>(rows_[at]);
  for (int i = 0; i < dim_; ++i) sum[i] += gradient[i];
}

void GradientSum::Rehash(size_t cells) {
  cells_.assign(cells, 0);
  for (size_t i = 0; i < fids_.size(); ++i) {
    size_t cell = Mix64(static_cast<uint64_t>(fids_[i])) & (cells - 1);
    while (cells_[cell] != 0) cell = (cell + 1) & (cells - 1);
    cells_[cell] = static_cast<int32_t>(i + 1);
  }
}

}  // namespace monolith
