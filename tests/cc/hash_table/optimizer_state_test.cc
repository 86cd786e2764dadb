// SPDX-License-Identifier: Apache-2.0
// The size of the state that optimizers keep. Its values are in numeric_cases_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "cc/hash_table/optimizer.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::DefaultSlice;

TEST(OptimizerStateTest, BatchSoftmaxHasTheLastStep) {
  const auto optimizer = NewOptimizer(DefaultSlice(1, "batch_softmax").optimizer, 1);
  int64_t step = -1;
  ASSERT_EQ(optimizer->state_bytes(), static_cast<int>(sizeof(step)));
  float weight = 0, state[2];
  const float gradient = 0;
  optimizer->InitState(state);
  optimizer->Step(&weight, state, &gradient, {0.1f, 3});
  std::memcpy(&step, state, sizeof(step));
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
