// SPDX-License-Identifier: Apache-2.0
// The state that optimizers keep, against worked cases, in memory order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "cc/hash_table/optimizer.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::DefaultSlice;

// The state after one step for each of `gradients`, from weights 0.
std::vector<float> StateAfter(const SliceConfig& slice, float rate, const std::vector<std::vector<float>>& gradients) {
  const auto optimizer = NewOptimizer(slice.optimizer, slice.dim);
  std::vector<float> weights(slice.dim), state(optimizer->state_bytes() / 4);
  optimizer->InitState(state.data());
  for (const auto& gradient : gradients) optimizer->Step(weights.data(), state.data(), gradient.data(), {rate, 3});
  return state;
}

auto Near(std::vector<float> expected) { return ::testing::Pointwise(::testing::FloatNear(1e-4f), expected); }

TEST(OptimizerStateTest, Adagrad) {
  SliceConfig slice = DefaultSlice(2, "adagrad");
  slice.optimizer.initial_accumulator_value = 1;
  EXPECT_THAT(StateAfter(slice, 0.1f, {{1, 2}}), Near({2, 5}));
}

TEST(OptimizerStateTest, Adadelta) {
  const std::vector<float> state = StateAfter(DefaultSlice(2, "adadelta"), 0.01f, {{10, 1}});
  EXPECT_THAT((std::vector<float>{state[0], state[1]}), Near({10, 0.1f}));
}

TEST(OptimizerStateTest, AdamKeepsBothPowers) {
  EXPECT_THAT(StateAfter(DefaultSlice(2, "adam"), 0.01f, {{10, 1}}), Near({1, 0.1f, 1, 0.01f, 0.81f, 0.9801f}));
  const std::vector<float> state = StateAfter(DefaultSlice(2, "adam"), 0.01f, {{10, 1}, {10, 1}, {-5, 0}});
  EXPECT_NEAR(state[4], 0.6561, 1e-6);
  EXPECT_NEAR(state[5], 0.960596, 1e-6);
}

TEST(OptimizerStateTest, Amsgrad) {
  const std::vector<float> state = StateAfter(DefaultSlice(1, "amsgrad"), 0.01f, {{10}, {0}});
  EXPECT_NEAR(state[2], 0.999999, 2e-6);  // vhat: the first step's moment
  EXPECT_LT(state[1], state[2]);
}

TEST(OptimizerStateTest, VelocitiesAndAverages) {
  EXPECT_THAT(StateAfter(DefaultSlice(2, "momentum"), 0.01f, {{10, 1}}), Near({-0.1f, -0.01f}));
  EXPECT_THAT(StateAfter(DefaultSlice(1, "rmsprop"), 0.01f, {{10}}), Near({10}));
  EXPECT_THAT(StateAfter(DefaultSlice(1, "rmsprop"), 0.01f, {{10}, {10}}), Near({19}));
  EXPECT_THAT(StateAfter(DefaultSlice(2, "rmspropv2"), 0.01f, {{10, 1}}), Near({100, 1}));
}

TEST(OptimizerStateTest, Ftrl) {
  const std::vector<float> state = StateAfter(DefaultSlice(2, "ftrl"), 0.01f, {{10, 1}});
  EXPECT_THAT((std::vector<float>{state[0], state[1]}), Near({100.1f, 1.1f}));
}

TEST(OptimizerStateTest, GroupAdagradHasOneSumASlice) {
  SliceConfig slice = DefaultSlice(2, "group_adagrad");
  slice.optimizer.initial_accumulator_value = 0;
  slice.optimizer.beta = 1;
  slice.optimizer.l2_regularization_strength = 0.5f;
  EXPECT_THAT(StateAfter(slice, 0.01f, {{10, 1}, {1, 5}}), Near({125}));
}

TEST(OptimizerStateTest, BatchSoftmaxHasTheLastStep) {
  const std::vector<float> state = StateAfter(DefaultSlice(1, "batch_softmax"), 0.1f, {{0}});
  int64_t step;
  ASSERT_EQ(state.size() * 4, sizeof(step));
  std::memcpy(&step, state.data(), sizeof(step));
  EXPECT_EQ(step, 3);
}

TEST(OptimizerStateTest, BytesAreThoseOfTheFormat) {
  const auto bytes = [](const char* name, int dim) {
    return NewOptimizer(DefaultSlice(dim, name).optimizer, dim)->state_bytes();
  };
  for (const char* name : {"sgd", "moving_average"}) EXPECT_EQ(bytes(name, 5), 0) << name;
  for (const char* name : {"adagrad", "momentum", "rmsprop", "rmspropv2"}) EXPECT_EQ(bytes(name, 5), 20) << name;
  for (const char* name : {"adadelta", "ftrl", "group_ftrl"}) EXPECT_EQ(bytes(name, 5), 40) << name;
  EXPECT_EQ(bytes("adam", 5), 48);
  EXPECT_EQ(bytes("amsgrad", 5), 68);
  EXPECT_EQ(bytes("group_adagrad", 5), 4);
  EXPECT_EQ(bytes("batch_softmax", 1), 8);
}

}  // namespace
}  // namespace monolith
