// SPDX-License-Identifier: Apache-2.0
// The gradient of a maximum, against its definition.
#include "cc/layers/max_pooling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "tests/cc/layers/layer_test_util.h"

namespace monolith::layers {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

std::vector<Numbers> Gradients(const Numbers& grad, const Numbers& output, const std::vector<Numbers>& inputs,
                               int64_t begin, int64_t end) {
  std::vector<Numbers> found(inputs.size(), Numbers(grad.size(), -7));
  std::vector<const float*> from;
  std::vector<float*> to;
  for (size_t k = 0; k < inputs.size(); ++k) {
    from.push_back(inputs[k].data());
    to.push_back(found[k].data());
  }
  MaxPoolingGradient(begin, end, grad.data(), output.data(), from, to);
  return found;
}

Numbers Largest(const std::vector<Numbers>& inputs) {
  Numbers largest = inputs[0];
  for (const Numbers& input : inputs) {
    for (size_t i = 0; i < input.size(); ++i) largest[i] = std::max(largest[i], input[i]);
  }
  return largest;
}

TEST(MaxPooling, first_of_equals_gets_it) {
  const auto found = Gradients({5, 6, 7}, {2, 1, 3}, {{1, 1, 3}, {2, 1, 3}, {2, 0, 3}}, 0, 3);
  EXPECT_THAT(found[0], ElementsAre(0, 6, 7));
  EXPECT_THAT(found[1], ElementsAre(5, 0, 0));
  EXPECT_THAT(found[2], Each(0));
}

TEST(MaxPooling, gradient_of_nan_or_of_infinity_stays_where_it_belongs) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const auto found = Gradients({2, infinity}, {nan, 3}, {{1, 2}, {nan, 3}}, 0, 2);
  EXPECT_THAT(found[0], ElementsAre(2, 0));
  EXPECT_THAT(found[1], ElementsAre(0, infinity));
}

TEST(MaxPooling, other_places_are_not_touched) {
  const auto found = Gradients({5, 6, 7}, {1, 1, 1}, {{1, 1, 1}}, 1, 2);
  EXPECT_THAT(found[0], ElementsAre(-7, 6, -7));
}

class MaxPoolingSizes : public LevelsTest {};

TEST_P(MaxPoolingSizes, match_the_definition) {
  for (int64_t size : {0, 1, 7, 37, 1024, 2500}) {
    std::vector<Numbers> inputs;
    for (uint32_t seed = 1; seed < 6; ++seed) inputs.push_back(Random(size, seed));
    for (int64_t i = 0; i < size; i += 3) inputs[3][i] = inputs[1][i];  // ties
    const Numbers grad = Random(size, 9), output = Largest(inputs);
    std::vector<Numbers> wanted(inputs.size(), Numbers(size));
    for (int64_t i = 0; i < size; ++i) {
      size_t first = 0;
      while (inputs[first][i] != output[i]) ++first;
      wanted[first][i] = grad[i];
    }
    const auto found = Gradients(grad, output, inputs, 0, size);
    for (size_t k = 0; k < inputs.size(); ++k) EXPECT_THAT(found[k], ElementsAreArray(wanted[k])) << size << " " << k;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MaxPoolingSizes, testing::ValuesIn(Levels()));

}  // namespace
}  // namespace monolith::layers
