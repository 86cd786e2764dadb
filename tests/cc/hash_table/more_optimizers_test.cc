// SPDX-License-Identifier: Apache-2.0
// The optimizers beyond sgd, adagrad, adam and ftrl against worked cases.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::Assign;
using testing::DefaultSlice;
using testing::Lookup;
using testing::MakeConfig;
using testing::Optimize;

// One entry of one slice, and what comes of a gradient.
class OneEntry {
 public:
  OneEntry(const SliceConfig& slice, float rate) : table_(NewEmbeddingTable(MakeConfig({slice}))), rate_(rate) {}

  OneEntry& Start(const std::vector<float>& weights) {
    Assign(table_.get(), {7}, weights);
    return *this;
  }

  std::vector<float> Step(const std::vector<float>& gradient, int64_t global_step = 0) {
    Optimize(table_.get(), {7}, gradient, {rate_}, 0, global_step);
    return Lookup(*table_, {7});
  }

 private:
  std::unique_ptr<EmbeddingTable> table_;
  const float rate_;
};

auto Near(std::vector<float> expected) { return ::testing::Pointwise(::testing::FloatNear(1e-6f), expected); }

TEST(MoreOptimizersTest, Adadelta) {
  OneEntry entry(DefaultSlice(2, "adadelta"), 0.01f);
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.0031607f, -0.0030151f}));
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.0064035f, -0.0061047f}));
  SliceConfig decay = DefaultSlice(1, "adadelta");
  decay.optimizer.weight_decay_factor = 0.5f;
  EXPECT_THAT(OneEntry(decay, 0.1f).Start({1}).Step({1}), Near({0.9690574f}));
}

TEST(MoreOptimizersTest, AmsgradStartsAsAdamAndKeepsTheLargestMoment) {
  OneEntry entry(DefaultSlice(2, "amsgrad"), 0.01f);
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.0099010f, -0.0090909f}));
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.0198306f, -0.0184290f}));
  OneEntry falling(DefaultSlice(1, "amsgrad"), 0.01f);
  EXPECT_THAT(falling.Step({10}), Near({-0.0099010f}));
  EXPECT_THAT(falling.Step({0}), Near({-0.0165170f}));
}

TEST(MoreOptimizersTest, AmsgradNesterovStartsAsAdam) {
  SliceConfig slice = DefaultSlice(2, "amsgrad");
  slice.optimizer.use_nesterov = true;
  EXPECT_THAT(OneEntry(slice, 0.01f).Step({10, 1}), Near({-0.0188119f, -0.0172727f}));
}

TEST(MoreOptimizersTest, Momentum) {
  OneEntry entry(DefaultSlice(2, "momentum"), 0.01f);
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.1f, -0.01f}));
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.29f, -0.029f}));
  SliceConfig decay = DefaultSlice(1, "momentum");
  decay.optimizer.weight_decay_factor = 0.5f;
  EXPECT_THAT(OneEntry(decay, 0.1f).Start({1}).Step({1}), Near({0.85f}));
}

TEST(MoreOptimizersTest, MomentumNesterov) {
  SliceConfig slice = DefaultSlice(2, "momentum");
  slice.optimizer.use_nesterov = true;
  OneEntry entry(slice, 0.01f);
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.19f, -0.019f}));
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.461f, -0.0461f}));
}

TEST(MoreOptimizersTest, MovingAverageIgnoresTheRate) {
  OneEntry entry(DefaultSlice(2, "moving_average"), 123);
  EXPECT_THAT(entry.Step({10, 1}), Near({1, 0.1f}));
  EXPECT_THAT(entry.Step({10, 1}), Near({1.9f, 0.19f}));
}

TEST(MoreOptimizersTest, Rmsprop) {
  OneEntry entry(DefaultSlice(1, "rmsprop"), 0.01f);
  EXPECT_THAT(entry.Step({10}), Near({-0.024025f}));
  EXPECT_THAT(entry.Step({10}), Near({-0.042686f}));
}

TEST(MoreOptimizersTest, RmspropTakesTheRateOfTheCall) {
  EXPECT_THAT(OneEntry(DefaultSlice(1, "rmsprop"), 0.02f).Step({10}), Near({-0.04805f}));
}

TEST(MoreOptimizersTest, RmspropV2) {
  OneEntry entry(DefaultSlice(2, "rmspropv2"), 0.01f);
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.0090909f, -0.005f}));
  EXPECT_THAT(entry.Step({10, 1}), Near({-0.0158549f, -0.0092045f}));
}

SliceConfig GroupAdagrad(int dim, float accumulator, float beta, float l2) {
  SliceConfig slice = DefaultSlice(dim, "group_adagrad");
  slice.optimizer.initial_accumulator_value = accumulator;
  slice.optimizer.beta = beta;
  slice.optimizer.l2_regularization_strength = l2;
  return slice;
}

TEST(MoreOptimizersTest, GroupAdagrad) {
  OneEntry one(GroupAdagrad(1, 0, 1, 1), 0.01f);
  EXPECT_THAT(one.Step({10}), Near({-0.008182f}));
  EXPECT_THAT(one.Step({10}), Near({-0.014125f}));
  OneEntry two(GroupAdagrad(2, 0, 1, 0.5f), 0.01f);
  EXPECT_THAT(two.Step({10, 1}), Near({-0.008639f, -0.000864f}));
  EXPECT_THAT(two.Step({1, 5}), Near({-0.009096f, -0.004778f}));
  EXPECT_THAT(OneEntry(GroupAdagrad(2, 0, 1, 0), 0.01f).Step({10, 1}), Near({-0.009091f, -0.000909f}));
  EXPECT_THAT(OneEntry(GroupAdagrad(2, 0, 1, 1000), 0.01f).Step({10, 1}), ::testing::ElementsAre(0, 0));
}

TEST(MoreOptimizersTest, GroupAdagradDecays) {
  SliceConfig slice = GroupAdagrad(2, 0.1f, 0, 0.1f);
  slice.optimizer.weight_decay_factor = 0.01f;
  EXPECT_THAT(OneEntry(slice, 0.1f).Start({0.5f, -0.5f}).Step({1, 2}), Near({0.4472698f, -0.5948100f}));
}

TEST(MoreOptimizersTest, GroupAdagradWithoutRateOrHistoryStays) {
  EXPECT_THAT(OneEntry(GroupAdagrad(2, 0, 1, 0.5f), 0).Start({3, 4}).Step({1, 1}), ::testing::ElementsAre(3, 4));
  EXPECT_THAT(OneEntry(GroupAdagrad(2, 0, 0, 0), 0.1f).Start({3, 4}).Step({0, 0}), ::testing::ElementsAre(3, 4));
}

// By hand: zero = g - (|g| - 0) / 0.1 * 0 = g; Z = 5; w = 0.1 * g * (1 - 5) / 5 / (1 + |g| + 0.5 * 0.1).
TEST(MoreOptimizersTest, GroupFtrl) {
  SliceConfig slice = DefaultSlice(2, "group_ftrl");
  slice.optimizer.l1_regularization_strength = 1;
  slice.optimizer.l2_regularization_strength = 0.5f;
  OneEntry entry(slice, 0.1f);
  EXPECT_THAT(entry.Step({3, -4}), Near({-0.24f / 4.05f, 0.32f / 5.05f}));
  // A group whose length is not above l1 is exactly 0.
  slice.optimizer.l1_regularization_strength = 5;
  EXPECT_THAT(OneEntry(slice, 0.1f).Start({0, 0}).Step({3, -4}), ::testing::ElementsAre(0, 0));
}

TEST(MoreOptimizersTest, GroupFtrlMeetsNoQuotientOfZeros) {
  SliceConfig slice = DefaultSlice(2, "group_ftrl");
  slice.optimizer.beta = 0;
  EXPECT_THAT(OneEntry(slice, 0.1f).Step({0, 0}), ::testing::ElementsAre(0, 0));
  EXPECT_THAT(OneEntry(slice, 0).Start({3, 4}).Step({1, 1}), ::testing::ElementsAre(3, 4));
}

TEST(MoreOptimizersTest, DynamicWdAdagradCoupledIsAdagrad) {
  SliceConfig slice = DefaultSlice(2, "dynamic_wd_adagrad");
  slice.optimizer.initial_accumulator_value = 1;
  slice.optimizer.weight_decay_factor = 0.1f;
  OneEntry entry(slice, 0.1f);
  EXPECT_THAT(entry.Step({1, 2}), Near({-0.0707107f, -0.0894427f}));
  EXPECT_THAT(entry.Step({1, 2}), Near({-0.128173f, -0.155943f}));
}

TEST(MoreOptimizersTest, DynamicWdAdagradDecoupledShrinksTheWeight) {
  SliceConfig slice = DefaultSlice(1, "dynamic_wd_adagrad");
  slice.optimizer.initial_accumulator_value = 0;
  slice.optimizer.weight_decay_factor = 0.5f;
  slice.optimizer.decouple_weight_decay = true;
  // 2 - 0.1 / 3 * 3 - 0.1 * 0.5 * 2; without gradient the decay is all.
  EXPECT_THAT(OneEntry(slice, 0.1f).Start({2}).Step({3}), Near({1.8f}));
  EXPECT_THAT(OneEntry(slice, 0.1f).Start({2}).Step({0}), Near({1.9f}));
}

TEST(MoreOptimizersTest, BatchSoftmax) {
  OneEntry entry(DefaultSlice(1, "batch_softmax"), 0.1f);
  EXPECT_THAT(entry.Step({-5}, 1), Near({0.1f}));
  EXPECT_THAT(entry.Step({5}, 6), Near({0.59f}));
  EXPECT_THAT(entry.Step({0}, 11), Near({1.031f}));
}

TEST(MoreOptimizersTest, BatchSoftmaxFindsTheInterval) {
  auto table = NewEmbeddingTable(MakeConfig({DefaultSlice(1, "batch_softmax")}));
  for (int step = 0; step < 1000; ++step) {
    if (step % 5 == 0) Optimize(table.get(), {0}, {0.1f}, {0.1f}, 0, step);
    if (step % 10 == 0) Optimize(table.get(), {1}, {0.1f}, {0.1f}, 0, step);
  }
  const std::vector<float> intervals = Lookup(*table, {0, 1});
  EXPECT_NEAR(1 / std::max(intervals[0], 1.0f), 0.2, 0.01);
  EXPECT_NEAR(1 / std::max(intervals[1], 1.0f), 0.1, 0.01);
}

TEST(MoreOptimizersTest, NegativeStepIsRefusedBeforeAnythingChanges) {
  auto table = NewEmbeddingTable(MakeConfig({DefaultSlice(1, "adagrad"), DefaultSlice(1, "batch_softmax")}));
  Assign(table.get(), {7}, {1, 2});
  const std::string before = table->LookupEntry(7);
  try {
    Optimize(table.get(), {7}, {1, 1}, {1, 1}, 0, -3);
    FAIL();
  } catch (const TableError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("table 'table': global_step is -3"));
  }
  EXPECT_EQ(table->LookupEntry(7), before);
}

}  // namespace
}  // namespace monolith
