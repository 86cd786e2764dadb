// SPDX-License-Identifier: Apache-2.0
#include "cc/data/tf_example.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cc/data/message_check.h"
#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using ::testing::HasSubstr;

// An entry of the map in a tf.train.Features.
std::string Entry(const std::string& key, const std::string& feature) {
  return Field(1, Field(1, key) + Field(2, feature));
}
std::string IntList(const std::vector<uint64_t>& values) { return Field(3, PackedVarints(1, values)); }
std::string FloatList(const std::vector<float>& values) { return Field(2, Packed(1, values)); }

data::TfExampleConfig Config() {
  data::TfExampleConfig config;
  config.sparse_names = {"s"};
  config.sparse_slots = {3};
  config.dense_names = {"d"};
  config.label = "l";
  config.instance_weight = "w";
  return config;
}

std::string Converted(const std::string& features) {
  std::string example;
  data::TfExampleReader(Config()).Convert(Field(1, features), &example);
  EXPECT_TRUE(data::IsMessage(data::MessageType::kExample, example));
  return example;
}

TEST(TfExampleTest, Columns) {
  const std::string sparse = Field(1, Field(1, "s") + Field(2, FidV2Feature({V2(3, 7), V2(3, 1)})) + VarintField(3, 3));
  EXPECT_EQ(Converted(Entry("s", IntList({7, (uint64_t{1} << 48) + 1}))), sparse + FloatField(102, 1));
  EXPECT_EQ(Converted(Entry("d", FloatList({0.5f}))), Column("d", FloatFeature({0.5f})) + FloatField(102, 1));
  EXPECT_EQ(Converted(Entry("l", IntList({2})) + Entry("w", FloatList({0.25f}))),
            FloatField(101, 2) + FloatField(102, 0.25f));
  EXPECT_EQ(Converted(Entry("other", IntList({2}))), FloatField(102, 1));
}

TEST(TfExampleTest, MagnitudesOfFloats) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::string sparse =
      Field(1, Field(1, "s") + Field(2, FidV2Feature({V2(3, 0), V2(3, 1), V2(3, 3), V2(3, 128), V2(3, 0)})) +
                   VarintField(3, 3));
  EXPECT_EQ(Converted(Entry("s", FloatList({0, -1, 7.5f, -infinity, nan}))), sparse + FloatField(102, 1));
}

TEST(TfExampleTest, TheLastOfAKeyAndOfAOneof) {
  EXPECT_EQ(Converted(Entry("l", IntList({1})) + Entry("l", IntList({2}))), FloatField(101, 2) + FloatField(102, 1));
  EXPECT_EQ(Converted(Entry("l", FloatList({1}) + IntList({4}) + IntList({5}))),
            FloatField(101, 4) + FloatField(101, 5) + FloatField(102, 1));
}

TEST(TfExampleTest, Refusals) {
  EXPECT_THAT(Refusal([] { Converted(Entry("s", Field(1, Field(1, "x")))); }), HasSubstr("feature 's' has bytes"));
  EXPECT_THAT(Refusal([] { Converted(Entry("x", Field(2, Field(1, "abc")))); }), HasSubstr("no serialized tf.train"));
  EXPECT_THAT(Refusal([] { Converted("\xff"); }), HasSubstr("no serialized tf.train"));
  auto config = Config();
  config.sparse_slots = {0};
  EXPECT_THAT(Refusal([&] { data::TfExampleReader reader(config); }), HasSubstr("slot 0 for 's'"));
  config.sparse_slots = {};
  EXPECT_THAT(Refusal([&] { data::TfExampleReader reader(config); }), HasSubstr("1 names and 0 slots"));
  config = Config();
  config.label = "d";
  EXPECT_THAT(Refusal([&] { data::TfExampleReader reader(config); }), HasSubstr("feature 'd' is there twice"));
}

}  // namespace
}  // namespace testing
}  // namespace monolith
