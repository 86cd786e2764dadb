// SPDX-License-Identifier: Apache-2.0
// Pooling and its gradients.
#include "cc/distribution/reduce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace monolith::distribution {
namespace {

using ::testing::ElementsAre;

using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;

Floats Pool(Reduction reduction, const Ints& rows, const Floats& values, int64_t dim, int64_t num_rows) {
  Floats out(num_rows * dim, -1);
  ReduceRows(reduction, rows, values.data(), dim, num_rows, out.data());
  return out;
}

TEST(ReduceRows, worked_cases) {
  EXPECT_THAT(Pool(Reduction::kSum, {0, 0, 1}, {1, 2, 4}, 1, 2), ElementsAre(3, 4));
  EXPECT_THAT(Pool(Reduction::kMean, {0, 0, 1}, {4, 2, 1}, 1, 2), ElementsAre(3, 1));
  EXPECT_THAT(Pool(Reduction::kSquareNorm, {0, 0, 1}, {3, 4, 4}, 1, 2), ElementsAre(5, 4));
}

TEST(ReduceRows, a_row_without_values_is_zero) {
  for (auto reduction : {Reduction::kSum, Reduction::kMean, Reduction::kSquareNorm}) {
    EXPECT_THAT(Pool(reduction, {2}, {1, 2}, 2, 3), ElementsAre(0, 0, 0, 0, 1, 2));
  }
}

TEST(ReduceRowsGradient, agrees_with_finite_differences) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(0.5f, 2.0f);
  const Ints rows{3, 0, 3, 1, 1, 1};
  Floats values(12), grads(8);
  for (float& x : values) x = uniform(random);
  for (float& x : grads) x = uniform(random);
  for (auto reduction : {Reduction::kSum, Reduction::kMean, Reduction::kSquareNorm}) {
    Floats gradient(12);
    ReduceRowsGradient(reduction, rows, values.data(), grads.data(), 2, 4, gradient.data());
    for (int i = 0; i < 12; ++i) {
      Floats up = values, down = values;
      up[i] += 0.01f;
      down[i] -= 0.01f;
      const Floats a = Pool(reduction, rows, up, 2, 4), b = Pool(reduction, rows, down, 2, 4);
      float slope = 0;
      for (int k = 0; k < 8; ++k) slope += grads[k] * (a[k] - b[k]) / 0.02f;
      EXPECT_NEAR(gradient[i], slope, 2e-3) << i;
    }
  }
}

TEST(SumAndSplit, cuts_columns_and_its_gradient_joins_them) {
  const Ints rows{0, 0, 2}, dims{1, 2};
  const Floats values{1, 1, 1, 2, 2, 1, 4, 4, 2};
  Floats first(4, -1), second(8, -1), back(9);
  SumAndSplit(rows, values.data(), dims, 4, {first.data(), second.data()});
  EXPECT_THAT(first, ElementsAre(3, 0, 4, 0));
  EXPECT_THAT(second, ElementsAre(3, 2, 0, 0, 4, 2, 0, 0));
  SumAndSplitGradient(rows, {first.data(), second.data()}, dims, back.data());
  EXPECT_THAT(back, ElementsAre(3, 3, 2, 3, 3, 2, 4, 4, 2));
}

}  // namespace
}  // namespace monolith::distribution
