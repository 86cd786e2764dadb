// SPDX-License-Identifier: Apache-2.0
// What the tests of cc/layers share: numbers, and one run for every level of vector instructions.
#ifndef TESTS_CC_LAYERS_LAYER_TEST_UTIL_H_
#define TESTS_CC_LAYERS_LAYER_TEST_UTIL_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <tuple>
#include <vector>

#include "cc/hash_table/cpu_features.h"

namespace monolith::layers {

using Numbers = std::vector<float>;

inline Numbers Random(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Numbers values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

MATCHER(AreNear, "") {
  const float found = std::get<0>(arg), wanted = std::get<1>(arg);
  return std::abs(found - wanted) <= 1e-5f * (1 + std::abs(wanted));
}

// The same numbers but for roundings: a level may round a product and a sum at once.
inline auto IsNear(const Numbers& wanted) { return testing::Pointwise(AreNear(), wanted); }

// Every level that this processor has.
inline std::vector<SimdLevel> Levels() {
  std::vector<SimdLevel> levels;
  for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    if (level <= BestSimdLevel()) levels.push_back(level);
  }
  return levels;
}

// Runs its tests at the level of its parameter.
class LevelsTest : public testing::TestWithParam<SimdLevel> {
 protected:
  void SetUp() override { SetSimdLevelForTest(GetParam()); }
  void TearDown() override { SetSimdLevelForTest(BestSimdLevel()); }
};

}  // namespace monolith::layers

#endif  // TESTS_CC_LAYERS_LAYER_TEST_UTIL_H_
