// SPDX-License-Identifier: Apache-2.0
// The pairwise log-likelihood against the plain double loop.
#include "cc/losses/inbatch_auc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "cc/hash_table/cpu_features.h"
#include "cc/losses/pair_loops.h"
#include "tests/cc/hash_table/thread_test_util.h"

namespace monolith::losses {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Floats = std::vector<float>;

constexpr float kInf = std::numeric_limits<float>::infinity();

struct ForcedLevel {
  explicit ForcedLevel(SimdLevel level) { SetSimdLevelForTest(level); }
  ~ForcedLevel() { SetSimdLevelForTest(BestSimdLevel()); }
};

double Value(const Floats& label, const Floats& logit, bool threads = false) {
  const InbatchAucPairs pairs(label.data(), logit.data(), label.size());
  std::vector<double> values(pairs.num_units());
  const auto run = [&](int64_t unit) { values[unit] = pairs.UnitValue(unit); };
  if (threads) {
    ::monolith::testing::RunThreads(pairs.num_units(), run);
  } else {
    for (int64_t unit = pairs.num_units(); unit-- > 0;) run(unit);
  }
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

Floats Gradient(const Floats& label, const Floats& logit, double scale = 1, double neg_weight = 1,
                bool threads = false) {
  const InbatchAucPairs pairs(label.data(), logit.data(), label.size());
  InbatchAucPairs::Gradient gradient(pairs);
  if (threads) {
    ::monolith::testing::RunThreads(pairs.num_units(), [&](int64_t unit) { gradient.RunUnit(unit); });
  } else {
    for (int64_t unit = pairs.num_units(); unit-- > 0;) gradient.RunUnit(unit);
  }
  Floats output(label.size(), -1);
  gradient.Write(scale, neg_weight, output.data());
  return output;
}

struct Expected {
  double value = 0;
  std::vector<double> gradient;
};

Expected PlainLoop(const Floats& label, const Floats& logit) {
  Expected expected;
  expected.gradient.resize(label.size());
  for (size_t i = 0; i < label.size(); ++i) {
    for (size_t j = 0; j < label.size(); ++j) {
      if (!(label[i] > 0 && label[j] <= 0 && label[j] > -10000)) continue;
      const double d = double{logit[i]} - logit[j];
      expected.value += d < -700 ? d : -std::log1p(std::exp(-d));
      expected.gradient[i] += 1 / (1 + std::exp(d));
      expected.gradient[j] -= 1 / (1 + std::exp(d));
    }
  }
  return expected;
}

void ExpectPlainLoop(const Floats& label, const Floats& logit) {
  const Expected expected = PlainLoop(label, logit);
  EXPECT_NEAR(Value(label, logit), expected.value, 1e-9 * std::abs(expected.value) + 1e-36);
  const Floats gradient = Gradient(label, logit);
  for (size_t i = 0; i < label.size(); ++i) {
    EXPECT_NEAR(gradient[i], expected.gradient[i], 2e-7 * std::abs(expected.gradient[i]) + 1e-36) << i;
  }
}

struct Batch {
  Floats label, logit;
};

Batch RandomBatch(int n, float spread, double share_of_positives, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<double> uniform;
  Batch batch;
  for (int i = 0; i < n; ++i) {
    const float invalid = i % 17 == 5 ? -10000.0f : -0.5f;
    batch.label.push_back(uniform(random) < share_of_positives ? 1.0f + i % 3 : i % 2 ? 0.0f : invalid);
    batch.logit.push_back(spread * normal(random));
  }
  return batch;
}

TEST(InbatchAucTest, WorkedCase) {
  const Floats label{1, 0, 0, 1}, logit{0.5f, -0.2f, -0.4f, 0.8f};
  EXPECT_NEAR(Value(label, logit), -1.320884, 1e-6);
  const Floats gradient = Gradient(label, logit), halved = Gradient(label, logit, 2, 0.5);
  const float expected[] = {0.620863f, -0.600754f, -0.520526f, 0.500417f};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(gradient[i], expected[i], 1e-6);
    EXPECT_NEAR(halved[i], expected[i] * (expected[i] < 0 ? 1 : 2), 2e-6);
  }
}

TEST(InbatchAucTest, EveryWidthOfScoresEqualsThePlainLoop) {
  for (const int n : {2, 5, 16, 33, 200, 700}) {
    for (const float spread : {0.0f, 0.01f, 1.0f, 8.0f, 30.0f, 60.0f, 400.0f, 1e6f}) {
      for (const double share : {0.02, 0.5, 0.95}) {
        const Batch batch = RandomBatch(n, spread, share, n + static_cast<int>(spread));
        SCOPED_TRACE(::testing::Message() << n << " rows, spread " << spread << ", positives " << share);
        ExpectPlainLoop(batch.label, batch.logit);
      }
    }
  }
}

TEST(InbatchAucTest, LogitsFarFromZeroButNearEachOther) {
  Batch batch = RandomBatch(100, 1, 0.5, 3);
  const Expected expected = PlainLoop(batch.label, batch.logit);
  for (float& z : batch.logit) z += 4096;  // exact in float32 but for the last digits
  EXPECT_NEAR(Value(batch.label, batch.logit), expected.value, 1e-3 * std::abs(expected.value));
  ExpectPlainLoop(batch.label, batch.logit);
}

TEST(InbatchAucTest, AllPairsInOrderKeepTheirDigits) {
  // ln sigmoid(d) is about -e^-d: a sum of 1 + e^-d alone would lose it.
  for (const float d : {10.0f, 20.0f, 40.0f, 80.0f}) {
    const Floats label{1, 1, 0, 0, 0}, logit{d, d, 0, 0, 0};
    EXPECT_NEAR(Value(label, logit) / (-6 * std::log1p(std::exp(-double{d}))), 1, 1e-9) << d;
  }
}

TEST(InbatchAucTest, SaturatedPairs) {
  EXPECT_EQ(Value({1, 0}, {44, -44}), 0);
  EXPECT_EQ(Value({1, 0}, {-44, 43}), -87);
  EXPECT_EQ(Value({1, 0}, {-3e38f, 3e38f}), -2.0 * 3e38f);
  EXPECT_THAT(Gradient({1, 0}, {44, -44}), ElementsAre(0, 0));
  EXPECT_THAT(Gradient({1, 0}, {-44, 43}), ElementsAre(1, -1));
  EXPECT_THAT(Gradient({1, 0}, {-3e38f, 3e38f}), ElementsAre(1, -1));
}

TEST(InbatchAucTest, OneSideOnlyIsNothing) {
  for (const Floats& label : {Floats{}, Floats{1, 1, 1}, Floats{0, 0, 0}, Floats{-10000, -20000, 1}}) {
    const Floats logit(label.size(), 0.5f);
    EXPECT_EQ(Value(label, logit), 0);
    EXPECT_THAT(Gradient(label, logit), Each(0));
  }
}

TEST(InbatchAucTest, LabelsOnTheEdges) {
  const Floats label{0, 1e-30f, -9999, -10000, std::nanf("")}, logit{0, 0, 0, 0, 0};
  EXPECT_NEAR(Value(label, logit), -2 * std::log(2.0), 1e-12);
  EXPECT_THAT(Gradient(label, logit), ElementsAre(-0.5f, 1, -0.5f, 0, 0));
}

TEST(InbatchAucTest, WhatIsNotFinite) {
  EXPECT_EQ(Value({1, 0}, {kInf, 0}), 0);
  EXPECT_EQ(Value({1, 0}, {-kInf, 0}), -kInf);
  EXPECT_THAT(Gradient({1, 0, 0}, {-kInf, 0, 1}), ElementsAre(2, -1, -1));
  EXPECT_TRUE(std::isnan(Value({1, 1, 0}, {std::nanf(""), 1, 0})));
  EXPECT_TRUE(std::isnan(Gradient({1, 1, 0}, {std::nanf(""), 1, 0})[0]));
  EXPECT_EQ(Value({1, 0, -10000}, {0, 0, std::nanf("")}), Value({1, 0}, {0, 0})) << "a row that takes no part";
}

TEST(InbatchAucTest, BitsDependNeitherOnThreadsNorOnVectors) {
  for (const float spread : {1.0f, 50.0f}) {
    const Batch batch = RandomBatch(1500, spread, 0.4, 9);
    const double value = Value(batch.label, batch.logit);
    const Floats gradient = Gradient(batch.label, batch.logit, 1, 0.3);
    EXPECT_EQ(Value(batch.label, batch.logit, true), value);
    EXPECT_EQ(Gradient(batch.label, batch.logit, 1, 0.3, true), gradient);
    for (int level = 0; level < static_cast<int>(BestSimdLevel()); ++level) {
      const ForcedLevel forced(static_cast<SimdLevel>(level));
      EXPECT_EQ(Value(batch.label, batch.logit), value) << level;
      EXPECT_EQ(Gradient(batch.label, batch.logit, 1, 0.3), gradient) << level;
    }
  }
}

TEST(InbatchAucTest, UnitsAreBounded) {
  const Batch batch = RandomBatch(5000, 1, 0.5, 1);
  const InbatchAucPairs pairs(batch.label.data(), batch.logit.data(), batch.label.size());
  EXPECT_EQ(pairs.num_units(), 16);
}

TEST(LogSumTest, KeepsTenDigitsOfEveryTerm) {
  for (double p = 1e-30; p < 1e70; p *= 1.7) {
    const std::vector<double> factors(kLanes, p);
    const double scales[kScales] = {1, 0, 0, 0};
    LogSum sum;
    AddLogs(factors.data(), 1, scales, &sum);
    EXPECT_NEAR(sum.Total() / (kLanes * std::log1p(p)), 1, 2e-10) << p;
  }
}

TEST(LogSumTest, LargestFactorsDoNotOverflow) {
  const std::vector<double> factors(64 * kLanes, std::exp(168.0));
  const double scales[kScales] = {1, 1, 1, 1};
  LogSum sum;
  AddLogs(factors.data(), 64, scales, &sum);
  EXPECT_NEAR(sum.Total(), 168.0 * 64 * kLanes * kScales, 1e-5);
  std::vector<double> sums(64 * kLanes), totals(kScales);
  AddSigmoids(factors.data(), 64, scales, sums.data(), totals.data());
  EXPECT_THAT(sums, Each(::testing::DoubleNear(4, 1e-12)));
  EXPECT_THAT(totals, Each(::testing::DoubleNear(64 * kLanes, 1e-9)));
}

}  // namespace
}  // namespace monolith::losses
