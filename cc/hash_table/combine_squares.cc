// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cc/hash_table/combine.h"

namespace monolith {
namespace {

double Squares(const float* at, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += at[i] * at[i];
  return sum;
}

// The squares of one feature's gradients, line by line.
class LineSquares {
 public:
  LineSquares(const CombinePlan& plan, const CombinePlan::Use& use, const float* const* gradients) {
    for (const CombineSlice& slice : use.slices) {
      const int64_t width = plan.outputs()[slice.output].width;
      columns_.push_back({gradients[slice.output] + slice.column, width, slice.begin, slice.dim});
      dim_ = std::max(dim_, slice.begin + slice.dim);
    }
    std::sort(columns_.begin(), columns_.end(), [](const Columns& a, const Columns& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < columns_.size(); ++i) {
      shared_ = shared_ || columns_[i].begin < columns_[i - 1].begin + columns_[i - 1].dim;
    }
    if (shared_) sum_.resize(dim_);
  }

  double operator()(int64_t line) {
    if (shared_) return OfSum(line);
    double squares = 0;
    for (const Columns& c : columns_) squares += Squares(c.at + line * c.width, c.dim);
    return squares;
  }

 private:
  struct Columns {
    const float* at;
    int64_t width, begin, dim;
  };

  // Columns that go to several outputs have the sum of their gradients.
  double OfSum(int64_t line) {
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    for (const Columns& c : columns_) {
      const float* from = c.at + line * c.width;
      for (int64_t i = 0; i < c.dim; ++i) sum_[c.begin + i] += from[i];
    }
    return Squares(sum_.data(), dim_);
  }

  std::vector<Columns> columns_;
  int64_t dim_ = 0;
  bool shared_ = false;
  std::vector<float> sum_;
};

}  // namespace

double CombinedGradientSquares(const CombinePlan& plan, int feature, const FeatureIds& ids, int64_t first_row,
                               int64_t last_row, const float* const* gradients) {
  const CombinePlan::Use& use = plan.use(feature);
  LineSquares squares_of(plan, use, gradients);
  double squares = 0;
  for (int64_t row = first_row; row < last_row; ++row) {
    const int64_t count = ids.Begin(row + 1) - ids.Begin(row);
    if (use.feature.combiner == Combiner::kFirstN) {
      for (int64_t i = 0; i < std::min(count, use.lines); ++i) squares += squares_of(row * use.lines + i);
    } else if (count > 0) {
      // Each of `count` fids has the row's gradient, of a mean divided by their number.
      const double times = use.feature.combiner == Combiner::kMean ? 1.0 / count : static_cast<double>(count);
      squares += times * squares_of(row);
    }
  }
  return squares;
}

}  // namespace monolith
