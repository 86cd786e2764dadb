// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/gradient_sum.h"

#include <algorithm>

namespace monolith {

GradientSum::GradientSum(const int64_t* fids, int64_t n, const float* gradients, int dim, int part, int num_parts)
    : distinct_(n / num_parts) {
  rows_.reserve(n / num_parts);
  occurrences_.reserve(n / num_parts);
  std::vector<Repeat> repeats;
  for (int64_t i = 0; i < n; ++i) {
    if (num_parts > 1 && PartOfFid(fids[i], num_parts) != part) continue;
    const int32_t number = distinct_.Add(fids[i]);
    if (number == static_cast<int32_t>(rows_.size())) {
      rows_.push_back(gradients + i * dim);
      occurrences_.push_back(1);
    } else {
      ++occurrences_[number];
      repeats.push_back({number, gradients + i * dim});
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
