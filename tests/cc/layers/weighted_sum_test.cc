// SPDX-License-Identifier: Apache-2.0
// Sums of weighted vectors, and their gradients, against their definition.
#include "cc/layers/weighted_sum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/layers/layer_test_util.h"

namespace monolith::layers {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

struct Results {
  Numbers output, weights, values;
};

struct Problem {
  WeightedSumShape shape;
  Numbers weights, values, grad;

  explicit Problem(const WeightedSumShape& shape)
      : shape(shape),
        weights(Random(shape.num_rows * shape.count, 1)),
        values(Random(shape.num_rows * shape.count * shape.width, 2)),
        grad(Random(shape.num_rows * shape.width, 3)) {}

  Results Zeros() const { return {Numbers(grad.size()), Numbers(weights.size()), Numbers(values.size())}; }
};

Results Compute(const Problem& p) {
  Results found = p.Zeros();
  WeightedSum(p.shape, p.weights.data(), p.values.data(), found.output.data());
  WeightedSumGradient(p.shape, p.grad.data(), p.weights.data(), p.values.data(), found.weights.data(),
                      found.values.data());
  return found;
}

Results Define(const Problem& p) {
  Results wanted = p.Zeros();
  const auto& [num_rows, count, width] = p.shape;
  for (int64_t i = 0; i < num_rows * count; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      const int64_t at = i / count * width + j;
      wanted.output[at] += p.weights[i] * p.values[i * width + j];
      wanted.weights[i] += p.grad[at] * p.values[i * width + j];
      wanted.values[i * width + j] = p.grad[at] * p.weights[i];
    }
  }
  return wanted;
}

TEST(WeightedSum, worked_case) {
  const Numbers weights{1, 10}, values{1, 2, 3, 4};
  Numbers output(2);
  WeightedSum({1, 2, 2}, weights.data(), values.data(), output.data());
  EXPECT_THAT(output, ElementsAre(31, 42));
}

class WeightedSumSizes : public LevelsTest {};

TEST_P(WeightedSumSizes, equal_the_definition) {
  for (const WeightedSumShape& shape : {WeightedSumShape{1, 1, 1}, {0, 3, 2}, {2, 0, 5}, {2, 3, 0}, {7, 20, 61}}) {
    SCOPED_TRACE(testing::Message() << shape.num_rows << " " << shape.count << " " << shape.width);
    const Problem problem(shape);
    const Results found = Compute(problem), wanted = Define(problem);
    EXPECT_THAT(found.output, IsNear(wanted.output));
    EXPECT_THAT(found.weights, Pointwise(FloatNear(1e-5f), wanted.weights));
    EXPECT_THAT(found.values, IsNear(wanted.values));
  }
}

TEST_P(WeightedSumSizes, agree_at_every_level) {
  const Problem problem({40, 7, 61});
  const Results found = Compute(problem);
  SetSimdLevelForTest(SimdLevel::kBaseline);
  EXPECT_THAT(Compute(problem).weights, IsNear(found.weights));
}

INSTANTIATE_TEST_SUITE_P(AllLevels, WeightedSumSizes, testing::ValuesIn(Levels()));

}  // namespace
}  // namespace monolith::layers
