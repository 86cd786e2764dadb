// SPDX-License-Identifier: Apache-2.0
#include "cc/data/negative_gen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using data::MessageType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

data::NegativeGenConfig Config() {
  data::NegativeGenConfig config;
  config.neg_num = 1;
  config.item_features = {"2"};
  return config;
}

std::string Item(uint64_t id) { return Fixed64Field(4, id); }

std::vector<std::string> Expanded(const data::RecordExpansion& expansion, const std::string& record,
                                  std::vector<double> draws) {
  Drawn drawn(std::move(draws));
  std::vector<std::string> made;
  for (const auto& copies : expansion.Run(record, &drawn)) made.push_back(copies.made.value());
  return made;
}

TEST(NegativeGenTest, AnInstanceWithAnotherItem) {
  auto config = Config();
  config.negative_action = -4;
  const auto pool = std::make_shared<data::ItemPool>(0, 10);
  const auto expansion = data::NewNegativeGen(MessageType::kInstance, config, pool);
  const std::string first = Packed<uint64_t>(1, {V1(1, 1), V1(2, 10)}) + InstanceOf(Item(10), {1}) + Field(900, "x");
  const std::string second = Packed<uint64_t>(1, {V1(2, 20), V1(1, 2)}) + Packed<float>(3, {1, 5}) +
                             Field(5, Item(20) + WithActions({7, 8}) + VarintField(19, 6)) + Field(900, "y");
  Expanded(*expansion, first, {0});
  const auto made = Expanded(*expansion, second, {0});
  ASSERT_EQ(made.size(), 2u);
  const std::string line_id = VarintField(19, 6) + Item(10) + VarintField(6, static_cast<uint64_t>(int64_t{-4}));
  EXPECT_EQ(made[0], Packed<uint64_t>(1, {V1(1, 2), V1(2, 10)}) + Field(900, "y") + Field(5, line_id) +
                         Packed<float>(3, {-1, 5}) + FloatField(4, 1.25f))
      << "1 + 1 * (1 / 2) / 2: the first place of two, drawn for the second time";
  EXPECT_EQ(made[1], second + FloatField(4, 1));
}

TEST(NegativeGenTest, AnExampleWithAnotherItem) {
  auto config = Config();
  config.item_features = {"item"};
  config.index_feature = "item";
  config.sampled_neg_instance_weight = 0.5f;
  config.throw_origin = true;
  const auto pool = std::make_shared<data::ItemPool>(0, 10);
  const auto expansion = data::NewNegativeGen(MessageType::kExample, config, pool);
  const auto example = [](uint64_t user, uint64_t item) {
    return Column("user", FidV2Feature({user})) + Column("item", FidV2Feature({item})) + Field(2, "") +
           ExampleOf("", {1}) + VarintField(103, 9);
  };
  Expanded(*expansion, example(1, 10), {0});
  const auto made = Expanded(*expansion, example(2, 20), {0});
  EXPECT_THAT(made, ElementsAre(Column("user", FidV2Feature({2})) + Column("item", FidV2Feature({10})) +
                                ExampleOf(Item(10), {}) + Packed<float>(101, {-1}) + FloatField(102, 0.5f)));
}

TEST(NegativeGenTest, DrawsOnlyWhatItNeeds) {
  auto config = Config();
  config.cache_only_pos = false;
  config.origin_neg_in_pool_proba = 0.5f;
  config.per_channel = true;
  config.easy_hard_ratio = 0.25f;
  const auto pool = std::make_shared<data::ItemPool>(0, 10);
  const auto expansion = data::NewNegativeGen(MessageType::kInstance, config, pool);
  const auto instance = [](uint64_t channel, float label) {
    return Packed<uint64_t>(1, {V1(3, channel)}) + InstanceOf(Item(channel), {label});
  };
  EXPECT_EQ(Expanded(*expansion, instance(1, 0), {0.6}).size(), 1u) << "does not enter the pool";
  EXPECT_EQ(Expanded(*expansion, instance(2, 0), {0.4}).size(), 1u);
  const auto own = Expanded(*expansion, instance(1, 1), {0.25, 0});
  EXPECT_THAT(own, ElementsAre(HasSubstr(Item(1)), HasSubstr(Item(1))));
  const auto other = Expanded(*expansion, instance(1, 1), {0.2, 0.75, 0});
  EXPECT_THAT(other, ElementsAre(HasSubstr(Item(2)), HasSubstr(Item(1))));
}

}  // namespace
}  // namespace testing
}  // namespace monolith
