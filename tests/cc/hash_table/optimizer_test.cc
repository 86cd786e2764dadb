// SPDX-License-Identifier: Apache-2.0
// Every optimizer against worked cases, through a table, with a save and a restore in between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::Assign;
using testing::Dump;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using testing::Lookup;
using testing::MakeConfig;
using testing::MakeSlice;
using testing::Optimize;
using testing::Restore;

auto Near(float a) { return ElementsAre(FloatNear(a, 1e-6)); }
auto Near(float a, float b) { return ElementsAre(FloatNear(a, 1e-6), FloatNear(b, 1e-6)); }

SliceConfig Adagrad(int dim, float accumulator, float decay = 0) {
  SliceConfig slice = MakeSlice(dim, "adagrad");
  slice.optimizer.initial_accumulator_value = accumulator;
  slice.optimizer.weight_decay_factor = decay;
  return slice;
}

SliceConfig Adam(int dim) {
  SliceConfig slice = MakeSlice(dim, "adam");
  slice.optimizer.beta1 = 0.9f;
  slice.optimizer.beta2 = 0.99f;
  slice.optimizer.epsilon = 0.01f;
  return slice;
}

SliceConfig Ftrl(int dim, float beta, float l1, float l2) {
  SliceConfig slice = MakeSlice(dim, "ftrl");
  slice.optimizer.initial_accumulator_value = 0.1f;
  slice.optimizer.beta = beta;
  slice.optimizer.l1_regularization_strength = l1;
  slice.optimizer.l2_regularization_strength = l2;
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

TEST(OptimizerTest, Adagrad) {
  auto table = NewEmbeddingTable(MakeConfig({Adagrad(2, 1)}));
  Optimize(table.get(), {7}, {1, 2}, {0.1f});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.0707107f, -0.0894427f));
  Optimize(table.get(), {7}, {1, 1}, {0.1f});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.1284457f, -0.1302676f));
}

TEST(OptimizerTest, AdagradKeepsItsStateOverSaveAndRestore) {
  auto table = NewEmbeddingTable(MakeConfig({Adagrad(1, 0.1f)}));
  Optimize(table.get(), {7}, {1}, {1});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.9534625f));
  auto copy = Copy(table.get());
  Optimize(copy.get(), {7}, {1}, {1});
  EXPECT_THAT(Lookup(*copy, {7}), Near(-1.643528f));
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

TEST(OptimizerTest, AdagradWithoutAccumulatorAndGradientStays) {
  auto table = NewEmbeddingTable(MakeConfig({Adagrad(2, 0)}));
  Assign(table.get(), {7}, {3, 4});
  Optimize(table.get(), {7}, {0, 0}, {0.1f});
  EXPECT_THAT(Lookup(*table, {7}), ElementsAre(3, 4));
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

TEST(OptimizerTest, AdamContinuesAfterRestore) {
  auto table = NewEmbeddingTable(MakeConfig({Adam(2)}));
  Optimize(table.get(), {7}, {10, 1}, {0.01f});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.0099010f, -0.0090909f));
  Optimize(table.get(), {7}, {10, 1}, {0.01f});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.0198306f, -0.0184290f));
  auto copy = Copy(table.get());
  Optimize(copy.get(), {7}, {-5, 0}, {0.01f});
  EXPECT_THAT(Lookup(*copy, {7}), Near(-0.0249605f, -0.0256613f));
}

TEST(OptimizerTest, AdamNesterovAndDecay) {
  SliceConfig nesterov = Adam(2);
  nesterov.optimizer.use_nesterov = true;
  auto table = NewEmbeddingTable(MakeConfig({nesterov}));
  Optimize(table.get(), {7}, {10, 1}, {0.01f});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.0188119f, -0.0172727f));
  Optimize(table.get(), {7}, {10, 1}, {0.01f});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.0329746f, -0.0305917f));

  SliceConfig decay = Adam(1);
  decay.optimizer.weight_decay_factor = 0.1f;
  table = NewEmbeddingTable(MakeConfig({decay}));
  Assign(table.get(), {7}, {1});
  Optimize(table.get(), {7}, {1}, {0.01f});
  EXPECT_THAT(Lookup(*table, {7}), Near(0.9908333f));
}

TEST(OptimizerTest, Ftrl) {
  auto table = NewEmbeddingTable(MakeConfig({Ftrl(2, 0, 0, 0)}));
  Optimize(table.get(), {7}, {10, 1}, {0.01f});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.009995f, -0.0095346f));
  auto copy = Copy(table.get());
  Optimize(copy.get(), {7}, {10, 1}, {0.01f});
  EXPECT_THAT(Lookup(*copy, {7}), Near(-0.0170643f, -0.0164353f));
}

TEST(OptimizerTest, FtrlRegularises) {
  auto table = NewEmbeddingTable(MakeConfig({Ftrl(2, 1, 0.5f, 0.2f)}));
  Optimize(table.get(), {7}, {10, -1}, {0.1f});
  EXPECT_THAT(Lookup(*table, {7}), Near(-0.0861678f, 0.0241685f));
  table = NewEmbeddingTable(MakeConfig({Ftrl(2, 0, 0.5f, 0)}));
  Optimize(table.get(), {7}, {0.4f, -1}, {0.1f});
  EXPECT_THAT(Lookup(*table, {7}), Near(0, 0.0476731f));
}

TEST(OptimizerTest, FtrlWithoutRateStays) {
  auto table = NewEmbeddingTable(MakeConfig({Ftrl(2, 0, 0, 0)}));
  Assign(table.get(), {7}, {3, 4});
  Optimize(table.get(), {7}, {1, 1}, {0});
  EXPECT_THAT(Lookup(*table, {7}), ElementsAre(3, 4));
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
