// SPDX-License-Identifier: Apache-2.0
// Every optimizer, alone and between others, goes on after save and restore as if nothing had been.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::DefaultSlice;
using testing::Dump;
using testing::Lookup;
using testing::MakeConfig;
using testing::Optimize;
using testing::Restore;

struct Setting {
  std::string name;
  bool nesterov = false;
  bool decouple = false;
};

class OptimizerRestoreTest : public ::testing::TestWithParam<Setting> {
 protected:
  SliceConfig Slice(int dim) const {
    SliceConfig slice = DefaultSlice(GetParam().name == "batch_softmax" ? 1 : dim, GetParam().name);
    slice.optimizer.use_nesterov = GetParam().nesterov;
    slice.optimizer.decouple_weight_decay = GetParam().decouple;
    slice.optimizer.weight_decay_factor = 0.01f;
    return slice;
  }

  // Steps `from` to `to` of a training with gradients that change sign and size.
  static void Train(EmbeddingTable* table, int from, int to) {
    const std::vector<float> rates(table->num_slices(), 0.1f);
    for (int step = from; step < to; ++step) {
      std::vector<float> gradient(table->dim());
      for (int i = 0; i < table->dim(); ++i) gradient[i] = static_cast<float>((step * 7 + i * 3) % 11 - 5) / 4;
      Optimize(
          table, {5, -9},
          [&] {
            std::vector<float> both = gradient;
            both.insert(both.end(), gradient.rbegin(), gradient.rend());
            return both;
          }(),
          rates, 0, step);
    }
  }

  static void ExpectSameAfterRestore(const std::vector<SliceConfig>& slices) {
    auto straight = NewEmbeddingTable(MakeConfig(slices));
    Train(straight.get(), 0, 20);
    auto first = NewEmbeddingTable(MakeConfig(slices));
    Train(first.get(), 0, 10);
    auto second = NewEmbeddingTable(MakeConfig(slices));
    Restore(second.get(), Dump(first.get()));
    EXPECT_EQ(second->LookupEntry(5), first->LookupEntry(5));
    Train(second.get(), 10, 20);
    EXPECT_EQ(Lookup(*second, {5, -9}), Lookup(*straight, {5, -9}));
    EXPECT_EQ(second->LookupEntry(-9), straight->LookupEntry(-9));
  }
};

TEST_P(OptimizerRestoreTest, Alone) { ExpectSameAfterRestore({Slice(3)}); }

TEST_P(OptimizerRestoreTest, BetweenOthers) {
  ExpectSameAfterRestore({DefaultSlice(1, "moving_average"), DefaultSlice(2, "adam"), Slice(9), DefaultSlice(1, "sgd"),
                          Slice(4), DefaultSlice(2, "adagrad")});
}

TEST_P(OptimizerRestoreTest, AnotherOptimizersStateIsNotTaken) {
  auto table = NewEmbeddingTable(MakeConfig({Slice(2)}));
  Train(table.get(), 0, 5);
  SliceConfig other = Slice(2);
  other.optimizer.name = GetParam().name == "adam" ? "adagrad" : "adam";
  auto changed = NewEmbeddingTable(MakeConfig({other}));
  Restore(changed.get(), Dump(table.get()));
  EXPECT_EQ(Lookup(*changed, {5}), Lookup(*table, {5}));
  auto fresh = NewEmbeddingTable(MakeConfig({other}));
  testing::Assign(fresh.get(), {5}, Lookup(*table, {5}));
  Optimize(changed.get(), {5}, std::vector<float>(other.dim, 1), {0.1f});
  Optimize(fresh.get(), {5}, std::vector<float>(other.dim, 1), {0.1f});
  EXPECT_EQ(Lookup(*changed, {5}), Lookup(*fresh, {5}));
}

INSTANTIATE_TEST_SUITE_P(
    All, OptimizerRestoreTest,
    ::testing::Values(Setting{"adadelta"}, Setting{"adagrad"}, Setting{"adam"}, Setting{"adam", true},
                      Setting{"amsgrad"}, Setting{"amsgrad", true}, Setting{"batch_softmax"},
                      Setting{"dynamic_wd_adagrad"}, Setting{"dynamic_wd_adagrad", false, true}, Setting{"ftrl"},
                      Setting{"group_adagrad"}, Setting{"group_ftrl"}, Setting{"momentum"}, Setting{"momentum", true},
                      Setting{"moving_average"}, Setting{"rmsprop"}, Setting{"rmspropv2"}, Setting{"sgd"}),
    [](const ::testing::TestParamInfo<Setting>& info) {
      return info.param.name + (info.param.nesterov ? "_nesterov" : "") + (info.param.decouple ? "_decoupled" : "");
    });

}  // namespace
}  // namespace monolith
