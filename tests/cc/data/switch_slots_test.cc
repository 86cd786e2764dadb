// SPDX-License-Identifier: Apache-2.0
#include "cc/data/switch_slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using data::MessageType;
using ::testing::HasSubstr;

std::string Switched(MessageType type, const std::vector<data::SlotSwitch>& switches, const std::string& record) {
  return Applied(*data::NewSwitchSlots(type, switches, "x"), record);
}

TEST(SwitchSlotsTest, InPlaceOrACopy) {
  const std::string id = VarintField(3, 7), rest = Field(900, "kept") + FloatField(102, 1);
  const std::string before = Field(1, Field(1, "a") + Field(2, FidV2Feature({V2(1, 5)})) + id);
  const std::string after = Field(1, Field(1, "a") + id + Field(2, FidV2Feature({V2(9, 5)})));
  const std::string copy = Field(1, Field(1, "a_x") + id + Field(2, FidV2Feature({V2(9, 5)})));
  EXPECT_EQ(Switched(MessageType::kExample, {{"a", true, 9}}, before + rest), after + rest);
  EXPECT_EQ(Switched(MessageType::kExample, {{"a", false, 9}}, before + rest), before + copy + rest);
  EXPECT_EQ(Switched(MessageType::kExample, {{"b", true, 9}}, before + rest), before + rest);
}

TEST(SwitchSlotsTest, Versions) {
  const std::string before = Column("a", FidV1Feature({V1(1, (uint64_t{1} << 54) - 1)}));
  EXPECT_EQ(Switched(MessageType::kExample, {{"a", true, 1023}}, before),
            Column("a", FidV1Feature({V1(1023, (uint64_t{1} << 54) - 1)})));
  EXPECT_EQ(Switched(MessageType::kExample, {{"a", true, 1024}}, before),
            Column("a", FidV2Feature({V2(1024, (uint64_t{1} << 48) - 1)})));
}

TEST(SwitchSlotsTest, RowsOfABatchStayApart) {
  const std::string rows = Field(2, FidV2Feature({V2(1, 5)})) + Field(2, "") + Field(2, FidV2Feature({V2(1, 6)}));
  const std::string switched = Field(2, FidV2Feature({V2(2, 5)})) + Field(2, "") + Field(2, FidV2Feature({V2(2, 6)}));
  EXPECT_EQ(Switched(MessageType::kExampleBatch, {{"a", true, 2}}, Field(1, Field(1, "a") + rows) + VarintField(3, 3)),
            Field(1, Field(1, "a") + switched) + VarintField(3, 3));
}

TEST(SwitchSlotsTest, PiecesOfAFeatureAreOne) {
  const std::string pieces = Field(2, FidV2Feature({V2(1, 5)})) + Field(2, FidV2Feature({V2(1, 6)}));
  EXPECT_EQ(Switched(MessageType::kExample, {{"a", true, 2}}, Field(1, Field(1, "a") + pieces)),
            Column("a", FidV2Feature({V2(2, 5), V2(2, 6)})));
}

TEST(SwitchSlotsTest, Refusals) {
  const auto refusal = [](MessageType type, const std::vector<data::SlotSwitch>& switches, const std::string& record) {
    return Refusal([&] { Switched(type, switches, record); });
  };
  EXPECT_THAT(refusal(MessageType::kInstance, {{"a", true, 1}}, ""), HasSubstr("use example or example_batch"));
  EXPECT_THAT(refusal(MessageType::kExample, {}, ""), HasSubstr("features is empty"));
  EXPECT_THAT(refusal(MessageType::kExample, {{"a", true, 1}, {"a", false, 2}}, ""), HasSubstr("column 'a' twice"));
  EXPECT_THAT(refusal(MessageType::kExample, {{"a", true, -1}}, ""), HasSubstr("slot -1 is not in [0, 32768)"));
  EXPECT_THAT(refusal(MessageType::kExample, {{"a", true, 1}}, Column("a", FloatFeature({1}))),
              HasSubstr("column 'a' has a float_list"));
}

}  // namespace
}  // namespace testing
}  // namespace monolith
