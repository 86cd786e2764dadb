// SPDX-License-Identifier: Apache-2.0
#include "cc/data/record_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using data::MessageType;
using data::RecordHead;
using ::testing::ElementsAre;

TEST(RecordHeadTest, LabelsPackedOrSingle) {
  const std::string example = Packed<float>(101, {1, 2}) + VarintField(7, 9) + FloatField(101, 3);
  EXPECT_THAT(RecordHead(MessageType::kExample, example).labels(), ElementsAre(1, 2, 3));
  EXPECT_THAT(RecordHead(MessageType::kInstance, FloatField(3, 5)).labels(), ElementsAre(5));
  EXPECT_THAT(RecordHead(MessageType::kInstance, FloatField(101, 5)).labels(), ElementsAre());
}

TEST(RecordHeadTest, PiecesOfALineIdAreOne) {
  const std::string instance = Field(5, WithActions({1, 2})) + Packed<float>(3, {0}) + Field(5, VarintField(6, 3)) +
                               Field(5, VarintField(19, 8));
  const RecordHead head(MessageType::kInstance, instance);
  EXPECT_THAT(head.Ints("actions"), ElementsAre(1, 2, 3));
  EXPECT_THAT(head.Ints("chnid"), ElementsAre(8));
  EXPECT_THAT(head.Ints("req_time"), ElementsAre(0)) << "a field that is not there has its default";
}

TEST(RecordHeadTest, WritesLabelsAndNothingElse) {
  const std::string group = "\x4b\x08\x01\x4c";  // an unknown group, number 9
  const std::string before = Field(900, "x") + Packed<float>(101, {1}) + group + FloatField(101, 2) + Field(100, "");
  const std::string rest = Field(900, "x") + group + Field(100, "");
  EXPECT_EQ(data::WithLabels(MessageType::kExample, before, {7, 8}), rest + Packed<float>(101, {7, 8}));
  EXPECT_EQ(data::WithLabels(MessageType::kExample, before, {}), rest);
}

TEST(RecordHeadTest, AppendsToTheLineId) {
  for (const MessageType type : {MessageType::kInstance, MessageType::kExample}) {
    std::string record = type == MessageType::kInstance ? InstanceOf(WithActions({1})) : ExampleOf(WithActions({1}));
    data::AppendAction(type, -5, &record);
    data::AppendSampleRate(type, 0.25f, &record);
    const RecordHead head(type, record);
    EXPECT_THAT(head.Ints("actions"), ElementsAre(1, -5));
    const auto& rate = *data::LineIdFieldNamed("sample_rate");
    EXPECT_EQ(data::ReadLineIdField(rate, head.line_id()).number, 0.25f);
    EXPECT_TRUE(data::IsMessage(type, record));
  }
}

TEST(LineIdTest, FieldsOfAllKinds) {
  const std::string line_id = Fixed64Field(2, ~uint64_t{0}) + VarintField(87, 5) + Field(41, "phone") +
                              Field(41, "tv") + VarintField(145, ~uint64_t{0}) + VarintField(39, 1) +
                              PackedVarints(39, {2, 3});
  const auto read = [&](const char* name) { return data::ReadLineIdField(*data::LineIdFieldNamed(name), line_id); };
  EXPECT_THAT(read("uid").ints, ElementsAre(-1));
  EXPECT_THAT(read("is_draw").ints, ElementsAre(1));
  EXPECT_EQ(read("device_type").text, "tv");
  EXPECT_THAT(read("rank").ints, ElementsAre(-1));
  EXPECT_THAT(read("special_strategies").ints, ElementsAre(1, 2, 3));
  EXPECT_EQ(read("sample_rate").number, 1) << "the default of its field";
  EXPECT_EQ(data::LineIdFieldNamed("age"), nullptr);
}

}  // namespace
}  // namespace testing
}  // namespace monolith
