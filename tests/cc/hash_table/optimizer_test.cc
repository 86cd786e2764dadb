// SPDX-License-Identifier: Apache-2.0
// Optimizers in a table of several slices, and what they refuse. Worked cases of each are in numeric_cases_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::Assign;
using testing::DefaultSlice;
using testing::Dump;
using ::testing::ElementsAre;
using testing::Lookup;
using testing::MakeConfig;
using testing::MakeSlice;
using testing::Optimize;
using testing::Restore;

SliceConfig Adagrad(int dim, float accumulator, float decay = 0) {
  SliceConfig slice = MakeSlice(dim, "adagrad");
  slice.optimizer.initial_accumulator_value = accumulator;
  slice.optimizer.weight_decay_factor = decay;
  return slice;
}

// A copy of a table through its saved entries.
std::unique_ptr<EmbeddingTable> Copy(EmbeddingTable* table) {
  auto copy = NewEmbeddingTable(table->config());
  Restore(copy.get(), Dump(table));
  return copy;
}

TEST(OptimizerTest, Sgd) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(1), MakeSlice(2)}));
  Optimize(table.get(), {7}, {1, 2, 3}, {1, 2});
  EXPECT_THAT(Lookup(*table, {7}), ElementsAre(-1, -4, -6));
}

TEST(OptimizerTest, AdagradDecaysEveryCoordinate) {
  for (int dim : {2, 8, 17}) {
    auto table = NewEmbeddingTable(MakeConfig({Adagrad(dim, 1, 0.1f)}));
    std::vector<float> gradient(dim);
    for (int i = 0; i < dim; ++i) gradient[i] = i % 2 == 0 ? 1 : 2;
    Optimize(table.get(), {7}, gradient, {0.1f});
    Optimize(table.get(), {7}, gradient, {0.1f});
    const std::vector<float> w = Lookup(*table, {7});
    for (int i = 0; i < dim; ++i) EXPECT_NEAR(w[i], i % 2 == 0 ? -0.128173 : -0.155943, 1e-6) << dim;
  }
}

TEST(OptimizerTest, SlicesHaveTheirOwnState) {
  auto table = NewEmbeddingTable(MakeConfig({Adagrad(1, 1), Adagrad(2, 2)}));
  Optimize(table.get(), {7}, {1, 2, 3}, {1, 2});
  const std::vector<float> w = Lookup(*table, {7});
  EXPECT_NEAR(w[0], -0.7071068, 1e-6);
  EXPECT_NEAR(w[1], -1.6329931, 1e-6);
  EXPECT_NEAR(w[2], -1.8090681, 1e-6);
  auto copy = Copy(table.get());
  Assign(copy.get(), {7}, {0, 0, 0});
  Optimize(copy.get(), {7}, {1, 2, 3}, {1, 2});
  const std::vector<float> again = Lookup(*copy, {7});
  EXPECT_NEAR(again[0], -0.5773503, 1e-6);
  EXPECT_NEAR(again[1], -1.264911, 1e-6);
  EXPECT_NEAR(again[2], -1.3416407, 1e-6);
}

TEST(OptimizerTest, BatchSoftmaxFindsTheInterval) {
  auto table = NewEmbeddingTable(MakeConfig({DefaultSlice(1, "batch_softmax")}));
  for (int step = 0; step < 1000; ++step) {
    if (step % 5 == 0) Optimize(table.get(), {0}, {0.1f}, {0.1f}, 0, step);
    if (step % 10 == 0) Optimize(table.get(), {1}, {0.1f}, {0.1f}, 0, step);
  }
  const std::vector<float> intervals = Lookup(*table, {0, 1});
  EXPECT_NEAR(1 / std::max(intervals[0], 1.0f), 0.2, 0.01);
  EXPECT_NEAR(1 / std::max(intervals[1], 1.0f), 0.1, 0.01);
}

TEST(OptimizerTest, NegativeStepIsRefusedBeforeAnythingChanges) {
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

TEST(OptimizerTest, UnknownNameIsRefusedWithWhatThereIs) {
  try {
    NewEmbeddingTable(MakeConfig({MakeSlice(1), MakeSlice(2, "newton")}));
    FAIL();
  } catch (const TableError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("table 'table', slice 1"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("'newton'"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("adagrad, adam,"));
  }
}

}  // namespace
}  // namespace monolith
