// SPDX-License-Identifier: Apache-2.0
// Optimizers around optimizers: stochastic rounding to half precision, and delay compensation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cc/hash_table/half.h"
#include "cc/hash_table/optimizers/dc.h"
#include "cc/hash_table/optimizers/stochastic_rounding.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::DefaultSlice;
using ::testing::FloatNear;
using testing::Lookup;
using testing::MakeConfig;
using testing::Optimize;

bool IsHalf(float value) { return HalfToFloat(FloatToHalf(value)) == value; }

TEST(StochasticRoundingTest, TakesOneOfTheTwoNeighbours) {
  for (float sign : {1.0f, -1.0f}) {
    for (float magnitude : {1.0001f, 0.1f, 1234.56f, 65503.0f, 3e-5f, 1e-6f, 1e-8f, 6.2e-5f}) {
      const float value = sign * magnitude;
      const float near = RoundToHalfStochastically(value, 0.99999994f);  // toward zero
      const float far = RoundToHalfStochastically(value, 0);
      EXPECT_TRUE(IsHalf(near) && IsHalf(far)) << value;
      EXPECT_LT(std::fabs(near), magnitude);
      EXPECT_GT(std::fabs(far), magnitude);
      const uint16_t bits = FloatToHalf(near) & 0x7FFF;
      EXPECT_EQ(FloatToHalf(far) & 0x7FFF, bits + 1) << value;
      // Where the draw decides is where the value lies between the two.
      const float share = (value - near) / (far - near);
      EXPECT_EQ(RoundToHalfStochastically(value, share * 0.999f), far);
      EXPECT_EQ(RoundToHalfStochastically(value, share + 0.001f), near);
    }
  }
}

TEST(StochasticRoundingTest, HalvesStayAndNothingBecomesInfinite) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float half = HalfToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(half)) continue;
    ASSERT_EQ(RoundToHalfStochastically(half, 0), half) << bits;
  }
  EXPECT_EQ(RoundToHalfStochastically(1e9f, 0), 65504);
  EXPECT_EQ(RoundToHalfStochastically(-65519.0f, 0), -65504);
  EXPECT_TRUE(std::isnan(RoundToHalfStochastically(NAN, 0)));
}

// A step far below the distance of two halves moves the mean of many entries by its size.
TEST(StochasticRoundingTest, StepsAreUnbiased) {
  SliceConfig slice = DefaultSlice(50, "sgd");
  slice.initializer.constant = 1;
  slice.optimizer.stochastic_rounding_float16 = true;
  auto table = NewEmbeddingTable(MakeConfig({slice}));
  constexpr int kFids = 400;
  std::vector<int64_t> fids;
  for (int64_t i = 0; i < kFids; ++i) fids.push_back(i);
  constexpr float kStep = 1e-4f;  // halves above 1 are 2^-10 apart
  const std::vector<float> gradients(kFids * 50, -kStep);
  for (int step = 0; step < 10; ++step) Optimize(table.get(), fids, gradients, {1});
  double sum = 0;
  for (float value : Lookup(*table, fids)) {
    ASSERT_TRUE(IsHalf(value));
    sum += value;
  }
  // 20,000 weights with a deviation of at most 2^-11 * sqrt(10) each: 5 deviations of the mean.
  EXPECT_NEAR(sum / (kFids * 50), 1 + 10 * kStep, 5 * 0x1p-11 * std::sqrt(10.0 / (kFids * 50)));
}

TEST(StochasticRoundingTest, RoundsItsOwnSliceOnlyAndPassesTheStep) {
  SliceConfig rounded = DefaultSlice(1, "batch_softmax");
  rounded.optimizer.stochastic_rounding_float16 = true;
  auto table = NewEmbeddingTable(MakeConfig({rounded, DefaultSlice(1, "sgd")}));
  Optimize(table.get(), {7}, {0, -0.1f}, {0.5f, 1}, 0, 6);
  EXPECT_THAT(Lookup(*table, {7}), ::testing::ElementsAre(3, 0.1f));
  EXPECT_THROW(Optimize(table.get(), {7}, {0, 0}, {1, 1}, 0, -1), TableError);
}

TEST(StochasticRoundingTest, SavesTheStateOfItsBase) {
  SliceConfig slice = DefaultSlice(3, "adam");
  slice.optimizer.stochastic_rounding_float16 = true;
  auto table = NewEmbeddingTable(MakeConfig({slice}));
  for (int step = 0; step < 5; ++step) Optimize(table.get(), {7}, {1, -2, 3}, {0.1f});
  auto copy = NewEmbeddingTable(MakeConfig({slice}));
  testing::Restore(copy.get(), testing::Dump(table.get()));
  EXPECT_EQ(copy->LookupEntry(7), table->LookupEntry(7));
  // The plain optimizer takes it too.
  auto plain = NewEmbeddingTable(MakeConfig({DefaultSlice(3, "adam")}));
  testing::Restore(plain.get(), testing::Dump(table.get()));
  EXPECT_EQ(plain->LookupEntry(7), table->LookupEntry(7));
}

TEST(DcTest, CompensatesForTheDelay) {
  const OptimizerConfig adadelta = DefaultSlice(2, "adadelta").optimizer;
  const auto optimizer = NewDcOptimizer(NewOptimizer(adadelta, 2), 0.1f, 2);
  float w[2] = {0, 0};
  float state[4];
  ASSERT_EQ(optimizer->state_bytes(), static_cast<int>(sizeof(state)));
  optimizer->InitState(state);
  const float gradient[2] = {10, 1};
  const float latest[2] = {0.1f, 0.1f}, zeros[2] = {0, 0};
  optimizer->Step(w, state, gradient, {0.01f, 0, latest});
  EXPECT_THAT(w, ::testing::ElementsAre(FloatNear(-0.0031603f, 1e-6f), FloatNear(-0.0030123f, 1e-6f)));
  EXPECT_NEAR(state[0], 8.1, 1e-4);
  EXPECT_NEAR(state[1], 0.09801, 1e-4);
  optimizer->Step(w, state, gradient, {0.01f, 0, zeros});
  EXPECT_THAT(w, ::testing::ElementsAre(FloatNear(-0.0065548f, 1e-6f), FloatNear(-0.0061140f, 1e-6f)));
}

TEST(DcTest, WithoutLatestWeightsIsItsBase) {
  const auto optimizer = NewDcOptimizer(NewOptimizer(DefaultSlice(1, "sgd").optimizer, 1), 0.1f, 1);
  float w = 1;
  const float gradient = 2;
  optimizer->Step(&w, nullptr, &gradient, {0.5f, 0});
  EXPECT_EQ(w, 0);
}

}  // namespace
}  // namespace monolith
