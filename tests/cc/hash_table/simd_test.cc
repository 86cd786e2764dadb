// SPDX-License-Identifier: Apache-2.0
// Every vector level that this machine has computes what the baseline does, to the bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cc/hash_table/cpu_features.h"
#include "cc/hash_table/optimizer.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

struct ForcedLevel {
  explicit ForcedLevel(SimdLevel level) { SetSimdLevelForTest(level); }
  ~ForcedLevel() { SetSimdLevelForTest(BestSimdLevel()); }
};

// Weights and state after 100 steps of an optimizer that was made at `level`.
std::vector<float> Trained(const OptimizerConfig& config, int dim, SimdLevel level) {
  const ForcedLevel forced(level);
  const auto optimizer = NewOptimizer(config, dim);
  std::vector<float> entry(dim + optimizer->state_bytes() / 4, 0.25f), gradient(dim);
  optimizer->InitState(entry.data() + dim);
  std::mt19937 random(dim);
  std::normal_distribution<float> normal;
  for (int step = 0; step < 100; ++step) {
    for (float& g : gradient) g = step % 7 == 0 ? 0 : normal(random);
    optimizer->Step(entry.data(), entry.data() + dim, gradient.data(), {0.05f, step});
  }
  return entry;
}

std::vector<OptimizerConfig> Configs() {
  std::vector<OptimizerConfig> configs;
  for (const char* name : {"sgd", "adagrad", "adam", "ftrl", "adadelta", "amsgrad", "momentum", "moving_average",
                           "rmsprop", "rmspropv2", "group_adagrad", "group_ftrl", "dynamic_wd_adagrad"}) {
    for (bool regularised : {false, true}) {
      OptimizerConfig config = testing::DefaultSlice(1, name).optimizer;
      if (regularised) {
        config.weight_decay_factor = 0.01f;
        config.use_nesterov = true;
        config.beta = 1;
        config.l1_regularization_strength = 0.5f;
        config.l2_regularization_strength = 0.1f;
      } else {
        config.initial_accumulator_value = 0;
      }
      configs.push_back(config);
    }
  }
  return configs;
}

TEST(SimdTest, EveryLevelGivesTheSameBits) {
  for (const OptimizerConfig& config : Configs()) {
    for (int dim = 1; dim <= 70; ++dim) {
      const std::vector<float> expected = Trained(config, dim, SimdLevel::kBaseline);
      for (const float value : expected) ASSERT_TRUE(std::isfinite(value)) << config.name << ", dim " << dim;
      for (SimdLevel level : {SimdLevel::kAvx2, SimdLevel::kAvx512}) {
        if (level > BestSimdLevel()) continue;
        EXPECT_EQ(Trained(config, dim, level), expected) << config.name << ", dim " << dim;
      }
    }
  }
}

TEST(SimdTest, BestIsUsedUnlessForced) {
  EXPECT_EQ(CurrentSimdLevel(), BestSimdLevel());
  {
    const ForcedLevel forced(SimdLevel::kBaseline);
    EXPECT_EQ(CurrentSimdLevel(), SimdLevel::kBaseline);
  }
  EXPECT_EQ(CurrentSimdLevel(), BestSimdLevel());
}

}  // namespace
}  // namespace monolith
