// SPDX-License-Identifier: Apache-2.0
// Optimizers around optimizers: stochastic rounding to half precision, and delay compensation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "cc/hash_table/batch_update.h"
#include "cc/hash_table/half.h"
#include "cc/hash_table/optimizer.h"
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

// dc around an optimizer with its default settings.
SliceConfig DcSlice(int dim, const std::string& base, float lambda) {
  SliceConfig slice = DefaultSlice(dim, "dc");
  slice.optimizer.base = std::make_shared<OptimizerConfig>(DefaultSlice(dim, base).optimizer);
  slice.optimizer.lambda = lambda;
  return slice;
}

TEST(DcTest, CompensatesForTheDelay) {
  const auto optimizer = NewOptimizer(DcSlice(2, "adadelta", 0.1f).optimizer, 2);
  float w[2] = {0, 0};
  float state[4];
  ASSERT_EQ(optimizer->state_bytes(), static_cast<int>(sizeof(state)));
  optimizer->InitState(state);
  const float gradient[2] = {10, 1};
  const float first[2] = {0.1f, 0.1f}, second[2] = {0, 0};
  optimizer->Step(w, state, gradient, {0.01f, 0, first});
  EXPECT_THAT(w, ::testing::ElementsAre(FloatNear(-0.0031603f, 1e-6f), FloatNear(-0.0030123f, 1e-6f)));
  EXPECT_NEAR(state[0], 8.1, 1e-4);
  EXPECT_NEAR(state[1], 0.09801, 1e-4);
  optimizer->Step(w, state, gradient, {0.01f, 0, second});
  EXPECT_THAT(w, ::testing::ElementsAre(FloatNear(-0.0065548f, 1e-6f), FloatNear(-0.0061140f, 1e-6f)));
}

TEST(DcTest, ATableTakesWhatWasLookedUpBesideTheGradients) {
  auto table = NewEmbeddingTable(MakeConfig({DcSlice(1, "sgd", 2), DefaultSlice(1, "sgd")}));
  ASSERT_TRUE(table->needs_looked_up());
  testing::Assign(table.get(), {7, 8}, {1, 1, 2, 2});
  const int64_t fids[] = {7, 8};
  const float gradients[] = {3, 3, 1, 1}, looked_up[] = {0.5f, 0, 2, 0}, rates[] = {0.5f, 0.5f};
  Batch batch{fids, 2, gradients};
  batch.looked_up = looked_up;
  table->Optimize(batch, {rates, 0, 0, nullptr});
  // Of 7: 3 + 2 * 9 * (1 - 0.5) = 12. Of 8 nothing has changed since. The second slice knows no delay.
  EXPECT_THAT(Lookup(*table, {7, 8}), ::testing::ElementsAre(1 - 6, -0.5f, 1.5f, 1.5f));
}

TEST(DcTest, SumsEqualFidsAndTakesTheirFirstRow) {
  auto table = NewEmbeddingTable(MakeConfig({DcSlice(1, "sgd", 1)}));
  testing::Assign(table.get(), {7, 8}, {1, 1});
  const int64_t fids[] = {7, 8, 7};
  const float gradients[] = {1, 4, 2}, looked_up[] = {0, 1, 0};
  const float rate = 1;
  for (int part = 0; part < 2; ++part) {
    OptimizePart(table.get(), {{fids, 3, gradients, looked_up}}, StepFor::kEachFid, part, 2, {&rate, 0, 0, nullptr});
  }
  EXPECT_THAT(Lookup(*table, {7, 8}), ::testing::ElementsAre(1 - (3 + 9), 1 - 4));
}

TEST(DcTest, EachOccurrenceHasItsRow) {
  auto table = NewEmbeddingTable(MakeConfig({DcSlice(1, "sgd", 1)}));
  const int64_t fids[] = {7, 7};
  const float gradients[] = {1, 2}, looked_up[] = {0, -3};
  const float rate = 1;
  OptimizePart(table.get(), {{fids, 2, gradients, looked_up}}, StepFor::kEachOccurrence, 0, 1, {&rate, 0, 0, nullptr});
  // 0 - 1 = -1, then 2 + 4 * (-1 + 3) = 10.
  EXPECT_THAT(Lookup(*table, {7}), ::testing::ElementsAre(-11));
}

TEST(DcTest, WithoutLookedUpRowsNothingChanges) {
  auto table = NewEmbeddingTable(MakeConfig({DcSlice(1, "sgd", 1)}));
  testing::Assign(table.get(), {7}, {1}, 5);
  try {
    Optimize(table.get(), {7, 9}, {1, 1}, {1}, 60);
    FAIL() << "took a step";
  } catch (const TableError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("table 'table': its dc optimizer takes the embeddings"));
  }
  EXPECT_EQ(table->size(), 1);
  EXPECT_EQ(table->max_update_ts(), 5);
  EXPECT_THAT(Lookup(*table, {7}), ::testing::ElementsAre(1));
  Optimize(table.get(), {}, {}, {1});
}

TEST(DcTest, RoundsStochasticallyAndSavesTheStateOfItsBase) {
  SliceConfig slice = DcSlice(2, "adagrad", 0.5f);
  slice.optimizer.stochastic_rounding_float16 = true;
  auto table = NewEmbeddingTable(MakeConfig({slice}));
  ASSERT_TRUE(table->needs_looked_up());
  const int64_t fid = 7;
  const float gradient[] = {1, 0.3f}, looked_up[] = {0, 0}, rate = 0.1f;
  Batch batch{&fid, 1, gradient};
  batch.looked_up = looked_up;
  table->Optimize(batch, {&rate, 0, 0, nullptr});
  for (const float value : Lookup(*table, {7})) EXPECT_TRUE(IsHalf(value) && value != 0) << value;
  auto plain = NewEmbeddingTable(MakeConfig({DefaultSlice(2, "adagrad")}));
  testing::Restore(plain.get(), testing::Dump(table.get()));
  EXPECT_EQ(plain->LookupEntry(7), table->LookupEntry(7));
}

}  // namespace
}  // namespace monolith
