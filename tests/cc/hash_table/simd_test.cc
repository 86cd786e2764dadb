// SPDX-License-Identifier: Apache-2.0
// Every vector level that this machine has computes what the baseline does, to the bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "cc/hash_table/cpu_features.h"
#include "cc/hash_table/fid_index.h"
#include "cc/hash_table/hashing.h"
#include "cc/hash_table/initializer.h"
#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/part_keys.h"
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

TEST(SimdTest, EveryLevelListsTheKeysOfAPartInTheirOrder) {
  std::mt19937_64 random(1);
  std::vector<int64_t> fids(70);
  for (int64_t& fid : fids) fid = static_cast<int64_t>(random());
  for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    if (level > BestSimdLevel()) continue;
    const ForcedLevel forced(level);
    PartKeys keys;
    for (const int num_parts : {1, 2, 3, 64, 100}) {
      for (int64_t end = 5; end <= 70; ++end) {
        std::vector<int64_t> listed;
        for (int part = 0; part < num_parts; ++part) {
          keys.List(fids.data(), 5, end, part, num_parts);
          uint64_t shards = 0;
          for (int64_t i = 0; i < keys.size(); ++i) {
            const int64_t position = keys.positions()[i];
            ASSERT_LT(i == 0 ? -1 : keys.positions()[i - 1], position);
            ASSERT_EQ(keys.fids()[i], fids[position]);
            ASSERT_EQ(keys.hashes()[i], Mix64(static_cast<uint64_t>(fids[position])));
            ASSERT_EQ(PartOfFid(fids[position], num_parts), part);
            shards |= uint64_t{1} << HashFid(fids[position]).shard;
            listed.push_back(position);
          }
          ASSERT_EQ(keys.shards(), shards);
        }
        std::sort(listed.begin(), listed.end());
        std::vector<int64_t> all(end - 5);
        std::iota(all.begin(), all.end(), 5);
        ASSERT_EQ(listed, all) << num_parts << " parts";
      }
    }
  }
}

TEST(SimdTest, EveryLevelFindsTheSameEntries) {
  // A bucket of every number of cells, some of them emptied again; an emptied cell still shows its fid.
  std::mt19937_64 random(2);
  EpochManager epochs;
  for (int cells = 0; cells <= kCellsPerBucket; ++cells) {
    for (uint32_t emptied = 0; emptied < 1u << cells; ++emptied) {
      FidIndex index(0, &epochs);
      Bucket* const home = index.HomeOf(0);
      std::vector<int64_t> fids{0, -1};
      std::vector<uint32_t> expected{FidIndex::kNoEntry, FidIndex::kNoEntry};
      for (int c = 0; c < cells; ++c) {
        fids.push_back(static_cast<int64_t>(random()) | 1);
        expected.push_back(static_cast<uint32_t>(random()) | 1);
        FidIndex::Put(fids.back(), home, {home, __builtin_ctz(home->EmptyCells())}, expected.back());
      }
      for (int c = 0; c < cells; ++c) {
        if ((emptied >> c & 1) == 0) continue;
        index.Erase({home, home, expected[2 + c]});
        expected[2 + c] = FidIndex::kNoEntry;
      }
      if (emptied & 1) {  // a fid comes again, to the cell that it had or to another
        expected[2] = 77;
        FidIndex::Put(fids[2], home, {home, __builtin_ctz(home->EmptyCells())}, 77);
      }
      for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
        if (level > BestSimdLevel()) continue;
        const ForcedLevel forced(level);
        const std::vector<Bucket*> homes(fids.size(), home);
        std::vector<uint32_t> entries(fids.size(), 9);
        FidIndex::FindEachAtHome(homes.data(), fids.data(), static_cast<int>(fids.size()), entries.data());
        ASSERT_EQ(entries, expected) << cells << " cells, emptied " << emptied;
      }
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
