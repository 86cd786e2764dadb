// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/gradient_sum.h"

#include <algorithm>

#include "cc/hash_table/hashing.h"

namespace monolith {

int64_t NumRows(const std::vector<RowRun>& runs) {
  int64_t rows = 0;
  for (const RowRun& run : runs) rows += run.n;
  return rows;
}

GradientSum::GradientSum(const int64_t* fids, int64_t n, const float* gradients, int dim, int part, int num_parts)
    : GradientSum({{fids, n, gradients}}, dim, part, num_parts) {}

GradientSum::GradientSum(const std::vector<RowRun>& runs, int dim, int part, int num_parts)
    : distinct_(NumRows(runs) / num_parts) {
  rows_.reserve(NumRows(runs) / num_parts);
  occurrences_.reserve(NumRows(runs) / num_parts);
  std::vector<Repeat> repeats;
  const bool told = std::all_of(runs.begin(), runs.end(), [](const RowRun& run) { return run.looked_up != nullptr; });
  for (const RowRun& run : runs) {
    for (int64_t i = 0; i < run.n; ++i) {
      if (num_parts > 1 && PartOfFid(run.fids[i], num_parts) != part) continue;
      const int32_t number = distinct_.Add(run.fids[i]);
      if (number == static_cast<int32_t>(rows_.size())) {
        rows_.push_back(run.rows + i * dim);
        occurrences_.push_back(1);
        if (told) looked_up_.push_back(run.looked_up + i * dim);
      } else {
        ++occurrences_[number];
        repeats.push_back({number, run.rows + i * dim});
      }
    }
  }
  AddRepeats(repeats, dim);
}

void GradientSum::AddRepeats(const std::vector<Repeat>& repeats, int dim) {
  if (repeats.empty()) return;
  sums_.resize(dim * std::count_if(occurrences_.begin(), occurrences_.end(), [](int64_t n) { return n > 1; }));
  std::vector<float*> sum_of(rows_.size());
  float* next = sums_.data();
  for (const Repeat& repeat : repeats) {
    float*& sum = sum_of[repeat.number];
    if (sum == nullptr) {
      sum = next;
      next += dim;
      std::copy_n(rows_[repeat.number], dim, sum);
      rows_[repeat.number] = sum;
    }
    for (int i = 0; i < dim; ++i) sum[i] += repeat.gradient[i];
  }
}

}  // namespace monolith
