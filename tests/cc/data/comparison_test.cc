// SPDX-License-Identifier: Apache-2.0
#include "cc/data/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using data::Operands;
using data::ValueKind;
using data::ValueTest;
using ::testing::HasSubstr;

ValueTest Ints(const std::string& op, std::vector<int64_t> operands, ValueKind kind = ValueKind::kInt) {
  return ValueTest("x", op, kind, false, {{}, std::move(operands), {}});
}
ValueTest Floats(const std::string& op, std::vector<float> operands) {
  return ValueTest("x", op, ValueKind::kFloat, false, {std::move(operands), {}, {}});
}
ValueTest Texts(const std::string& op, std::vector<std::string> operands) {
  return ValueTest("x", op, ValueKind::kText, false, {{}, {}, std::move(operands)});
}
ValueTest Lists(const std::string& op, std::vector<int64_t> operands) {
  return ValueTest("x", op, ValueKind::kInt, true, {{}, std::move(operands), {}});
}

TEST(ComparisonTest, OneOperand) {
  for (const int64_t value : {-1, 0, 1}) {
    EXPECT_EQ(Ints("gt", {0}).OfInt(value), value > 0);
    EXPECT_EQ(Ints("ge", {0}).OfInt(value), value >= 0);
    EXPECT_EQ(Ints("eq", {0}).OfInt(value), value == 0);
    EXPECT_EQ(Ints("lt", {0}).OfInt(value), value < 0);
    EXPECT_EQ(Ints("le", {0}).OfInt(value), value <= 0);
    EXPECT_EQ(Ints("neq", {0}).OfInt(value), value != 0);
  }
  EXPECT_TRUE(Floats("le", {0.5f}).OfFloat(0.5f));
  EXPECT_TRUE(Texts("le", {"hello1"}).OfText("hello"));
  EXPECT_FALSE(Texts("gt", {"hello"}).OfText("hello"));
}

TEST(ComparisonTest, IdsAreUnsigned) {
  const int64_t most = -1;  // the id 2^64 - 1
  EXPECT_TRUE(Ints("gt", {1}, ValueKind::kId).OfInt(most));
  EXPECT_FALSE(Ints("gt", {1}).OfInt(most));
  EXPECT_TRUE(Ints("lt", {most}, ValueKind::kId).OfInt(std::numeric_limits<int64_t>::max()));
  EXPECT_TRUE(Ints("in", {5, most}, ValueKind::kId).OfInt(most));
}

TEST(ComparisonTest, Ranges) {
  const ValueTest test = Ints("between", {1, 3});
  EXPECT_FALSE(test.OfInt(0));
  EXPECT_TRUE(test.OfInt(1));
  EXPECT_TRUE(test.OfInt(2));
  EXPECT_FALSE(test.OfInt(3));
}

TEST(ComparisonTest, Sets) {
  EXPECT_TRUE(Ints("in", {9, 1, 5, 1}).OfInt(5));
  EXPECT_FALSE(Ints("not-in", {9, 1, 5}).OfInt(5));
  EXPECT_TRUE(Ints("not-in", {9, 1, 5}).OfInt(4));
  EXPECT_FALSE(Floats("in", {1, 2}).OfFloat(std::numeric_limits<float>::quiet_NaN()));
  EXPECT_TRUE(Floats("not-in", {1, 2}).OfFloat(std::numeric_limits<float>::quiet_NaN()));
  EXPECT_TRUE(Texts("in", {"b", "a"}).OfText("a"));
}

TEST(ComparisonTest, EndsOfTexts) {
  EXPECT_TRUE(Texts("startswith", {"x", "hell"}).OfText("hello"));
  EXPECT_TRUE(Texts("endswith", {"llo"}).OfText("hello"));
  EXPECT_FALSE(Texts("endswith", {"hello!"}).OfText("hello"));
  EXPECT_FALSE(Texts("startswith", {"a"}).OfText(""));
  EXPECT_TRUE(Texts("startswith", {""}).OfText(""));
}

TEST(ComparisonTest, ListsNeedNoOrder) {
  const std::vector<int64_t> values = {30, 2, 7, 2};
  EXPECT_TRUE(Lists("any", {8, 7}).OfList(values));
  EXPECT_FALSE(Lists("any", {8, 1}).OfList(values));
  EXPECT_TRUE(Lists("all", {30, 2, 30}).OfList(values));
  EXPECT_FALSE(Lists("all", {30, 3}).OfList(values));
  EXPECT_TRUE(Lists("diff", {8, 1}).OfList(values));
  EXPECT_FALSE(Lists("diff", {8, 30}).OfList(values));
}

TEST(ComparisonTest, Refusals) {
  EXPECT_THAT(Refusal([] { Ints("is", {1}); }), HasSubstr("op is 'is', for x; use one of gt, ge, eq"));
  EXPECT_THAT(Refusal([] { Ints("any", {1}); }), HasSubstr("x is a single value"));
  EXPECT_THAT(Refusal([] { Lists("in", {1}); }), HasSubstr("x is a list of integers; use any, all or diff"));
  EXPECT_THAT(Refusal([] { Ints("endswith", {1}); }), HasSubstr("x is no string"));
  EXPECT_THAT(Refusal([] { Ints("eq", {}); }), HasSubstr("with 0 operands; give 1"));
  EXPECT_THAT(Refusal([] { Ints("between", {1}); }), HasSubstr("with 1 operands; give 2"));
  EXPECT_THAT(Refusal([] { Lists("any", {}); }), HasSubstr("give at least one"));
  EXPECT_THAT(Refusal([] { ValueTest("x", "eq", ValueKind::kFloat, false, {{}, {1}, {}}); }),
              HasSubstr("1 are no float_operand"));
  EXPECT_THAT(Refusal([] { Floats("eq", {std::numeric_limits<float>::quiet_NaN()}); }), HasSubstr("NaN"));
}

TEST(FilterValuesTest, EveryKind) {
  const std::string ints = Field(2, PackedVarints(1, {20, 30}) + VarintField(1, 666));
  EXPECT_EQ(data::ReadFilterValues(ints, ValueKind::kId).ints, (std::vector<int64_t>{20, 30, 666}));
  EXPECT_EQ(data::ReadFilterValues(Field(1, Packed<float>(1, {0.5f, 2})), ValueKind::kFloat).floats,
            (std::vector<float>{0.5f, 2}));
  EXPECT_EQ(data::ReadFilterValues(Field(3, Field(1, "a") + Field(1, "b")), ValueKind::kText).texts,
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(data::ReadFilterValues(ints + Field(2, VarintField(1, 1)), ValueKind::kInt).ints.size(), 4u)
      << "pieces of one member are one";
  EXPECT_EQ(data::ReadFilterValues(Field(3, Field(1, "a")) + ints, ValueKind::kInt).ints.size(), 3u)
      << "the last member stands";
}

TEST(FilterValuesTest, Refusals) {
  EXPECT_THAT(Refusal([] { data::ReadFilterValues("", ValueKind::kInt); }),
              HasSubstr("has nothing, but the values are"));
  EXPECT_THAT(Refusal([] { data::ReadFilterValues(Field(1, ""), ValueKind::kText); }),
              HasSubstr("has float_list, but the values are strings; give them as bytes_list"));
  EXPECT_THAT(Refusal([] { data::ReadFilterValues("\xff", ValueKind::kInt); }),
              HasSubstr("no serialized FilterValues"));
  EXPECT_THAT(Refusal([] { data::ReadFilterValues(Field(2, Field(1, "\xff")), ValueKind::kInt); }),
              HasSubstr("no serialized FilterValues"));
}

}  // namespace
}  // namespace testing
}  // namespace monolith
