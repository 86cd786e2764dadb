// SPDX-License-Identifier: Apache-2.0
// Every vector level that this machine has computes what the baseline does, to the bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cc/hash_table/cpu_features.h"
#include "cc/hash_table/hashing.h"
#include "cc/hash_table/initializer.h"
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

TEST(SimdTest, EveryLevelHashesAlike) {
  std::mt19937_64 random(1);
  for (int64_t n = 0; n < 70; ++n) {
    std::vector<int64_t> fids(n);
    std::vector<uint64_t> expected, hashes(n + 1, 7);
    for (int64_t& fid : fids) {
      fid = static_cast<int64_t>(random());
      expected.push_back(Mix64(static_cast<uint64_t>(fid)));
    }
    expected.push_back(7);  // nothing behind them is touched
    for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
      if (level > BestSimdLevel()) continue;
      const ForcedLevel forced(level);
      MixEach(fids.data(), n, hashes.data());
      EXPECT_EQ(hashes, expected);
    }
  }
}

// First values as one draw after another gives them.
std::vector<float> Drawn(uint64_t counter, float minval, float maxval, int dim) {
  std::vector<float> values;
  for (int i = 0; i < dim; ++i) {
    counter += 0x9e3779b97f4a7c15ULL;
    const float value = minval + static_cast<float>(Mix64(counter) >> 40) * 0x1p-24f * (maxval - minval);
    values.push_back(value < maxval ? value : minval);
  }
  return values;
}

TEST(SimdTest, EveryLevelDrawsTheSameFirstValues) {
  InitializerConfig config;
  config.kind = InitializerConfig::Kind::kRandomUniform;
  config.minval = -0.05f;
  config.maxval = 0.15f;
  const uint64_t stream = Mix64(11 + 0x9e3779b97f4a7c15ULL * 3);
  for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    if (level > BestSimdLevel()) continue;
    const ForcedLevel forced(level);
    const auto initializer = NewInitializer(config, 11, 2);
    for (int dim = 0; dim <= 40; ++dim) {
      const int64_t fid = -977 * dim;
      std::vector<float> values(dim);
      initializer->Fill(fid, values.data(), dim);
      EXPECT_EQ(values, Drawn(Mix64(static_cast<uint64_t>(fid) ^ stream), -0.05f, 0.15f, dim)) << "dim " << dim;
    }
  }
}

// A group of entries takes the same steps as one entry after another.
TEST(SimdTest, AGroupTakesTheStepsOfItsEntries) {
  for (const OptimizerConfig& config : Configs()) {
    for (int dim : {1, 8, 12, 16, 24, 32, 48}) {
      const auto optimizer = NewOptimizer(config, dim);
      const int stride = dim + optimizer->state_bytes() / 4;
      constexpr int kEntries = 5;
      std::vector<float> entries(kEntries * stride, 0.25f), gradients(kEntries * dim);
      std::mt19937 random(dim);
      std::normal_distribution<float> normal;
      for (float& g : gradients) g = normal(random);
      std::vector<EntryStep> steps;
      for (int i = 0; i < kEntries; ++i) {
        optimizer->InitState(&entries[i * stride + dim]);
        steps.push_back({&entries[i * stride], &entries[i * stride + dim], &gradients[i * dim]});
      }
      std::vector<float> one_by_one = entries;
      for (int i = 0; i < kEntries; ++i) {
        optimizer->Step(&one_by_one[i * stride], &one_by_one[i * stride + dim], &gradients[i * dim], {0.05f, 1});
      }
      optimizer->StepEach(steps.data(), kEntries, {0.05f, 1});
      EXPECT_EQ(entries, one_by_one) << config.name << ", dim " << dim;
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
