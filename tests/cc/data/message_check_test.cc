// SPDX-License-Identifier: Apache-2.0
#include "cc/data/message_check.h"

#include <gtest/gtest.h>

#include "cc/data/data_error.h"
#include "tests/cc/data/build_messages.h"

namespace monolith {
namespace testing {
namespace {

using data::IsMessage;
using data::MessageType;

TEST(MessageCheckTest, TextIsUtf8InExamplesOnly) {
  for (const char* bad : {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_FALSE(IsMessage(MessageType::kExample, Field(1, Field(1, bad)))) << bad;
    EXPECT_FALSE(IsMessage(MessageType::kExampleBatch, Field(1, Field(1, bad)))) << bad;
    EXPECT_TRUE(IsMessage(MessageType::kInstance, Field(9, Field(1, bad)))) << bad;
  }
  for (const char* good :
       {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xed\x9f\xbf", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsMessage(MessageType::kExample, Field(1, Field(1, good)))) << good;
  }
}

TEST(MessageCheckTest, PackedFieldsAreWhole) {
  EXPECT_FALSE(IsMessage(MessageType::kExample, Column("a", Field(2, Field(1, "1234567")))));
  EXPECT_TRUE(IsMessage(MessageType::kExample, Column("a", Field(2, Field(1, "12345678")))));
  EXPECT_FALSE(IsMessage(MessageType::kExample, Column("a", Field(5, Field(1, "\x80")))));
  EXPECT_FALSE(IsMessage(MessageType::kExample, Field(101, "abc")));
  EXPECT_FALSE(IsMessage(MessageType::kInstance, Field(5, Field(6, "\xff"))));
}

TEST(MessageCheckTest, UnknownFieldsAndGroups) {
  const std::string begin = "\x0b", end = "\x0c";  // of a group with the number 1
  EXPECT_TRUE(IsMessage(MessageType::kExample, begin + end));
  EXPECT_TRUE(IsMessage(MessageType::kExample, begin + VarintField(9, 300) + Field(7, "x") + end));
  EXPECT_FALSE(IsMessage(MessageType::kExample, begin));
  EXPECT_FALSE(IsMessage(MessageType::kExample, end));
  EXPECT_FALSE(IsMessage(MessageType::kExample, begin + "\x14"));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep = begin + deep + end;
  EXPECT_TRUE(IsMessage(MessageType::kExample, deep));
  EXPECT_FALSE(IsMessage(MessageType::kExample, begin + deep + end));
  EXPECT_TRUE(IsMessage(MessageType::kExample, VarintField(1, 5))) << "a known number of another wire type is unknown";
}

TEST(MessageCheckTest, TagsAndLengths) {
  EXPECT_FALSE(IsMessage(MessageType::kExample, std::string(1, '\0')));
  EXPECT_FALSE(IsMessage(MessageType::kExample, "\x0e"));
  EXPECT_FALSE(IsMessage(MessageType::kExample, "\x0a\x02x"));
  EXPECT_FALSE(IsMessage(MessageType::kExample, "\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
  EXPECT_TRUE(IsMessage(MessageType::kExample, "\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
  EXPECT_FALSE(IsMessage(MessageType::kExample, "\x3a\xff\xff\xff\xff\x0f"));
}

TEST(MessageCheckTest, ErrorsNameTheMessage) {
  try {
    data::CheckMessage(MessageType::kInstance, "\x80");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_EQ(error.code(), DataError::Code::kFailedPrecondition);
    EXPECT_STREQ(error.what(), "Failed to parse the Instance.");
  }
  EXPECT_EQ(data::TypeNamed("example_batch"), MessageType::kExampleBatch);
  EXPECT_EQ(data::TypeNamed("examplebatch"), MessageType::kExampleBatch);
  EXPECT_THROW(data::TypeNamed("Example"), DataError);
}

}  // namespace
}  // namespace testing
}  // namespace monolith
