// SPDX-License-Identifier: Apache-2.0
// Numbers that saved files and initial values depend on; the expected ones were computed apart from this code.
#include "cc/hash_table/hashing.h"

#include <gtest/gtest.h>

#include <limits>

namespace monolith {
namespace {

constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();

TEST(HashingTest, Mix64IsMurmursFinaliser) {
  EXPECT_EQ(Mix64(0), 0u);
  EXPECT_EQ(Mix64(1), 0xb456bcfc34c2cb2cULL);
  EXPECT_EQ(Mix64(2), 0x3abf2a20650683e7ULL);
  EXPECT_EQ(Mix64(1ULL << 48), 0xf3883e14ba3ec785ULL);
  EXPECT_EQ(Mix64((1ULL << 54) + 5), 0x6b6b7373da68f6d6ULL);
  EXPECT_EQ(Mix64(~0ULL), 0x64b5720b4b825f21ULL);
  EXPECT_EQ(Mix64(1ULL << 63), 0x8f780810af31a493ULL);
}

TEST(HashingTest, SlotIsBits48To62) {
  EXPECT_EQ(SlotOfFid(0), 0u);
  EXPECT_EQ(SlotOfFid((1LL << 48) - 1), 0u);
  EXPECT_EQ(SlotOfFid(1LL << 48), 1u);
  EXPECT_EQ(SlotOfFid((1LL << 54) + 5), 64u);
  EXPECT_EQ(SlotOfFid((32767LL << 48) | 123), 32767u);
  EXPECT_EQ(SlotOfFid(-1), 32767u);
  EXPECT_EQ(SlotOfFid(kLowest), 0u) << "bit 63 is no part of the slot";
}

TEST(HashingTest, ShardIsTheUnsignedRemainder) {
  EXPECT_EQ(ShardOfFid(7, 3), 1u);
  EXPECT_EQ(ShardOfFid(-1, 2), 1u);
  EXPECT_EQ(ShardOfFid(-1, 3), 0u);
  EXPECT_EQ(ShardOfFid(-1, 1000), 615u);
  EXPECT_EQ(ShardOfFid(kLowest, 3), 2u);
  EXPECT_EQ(ShardOfFid(kLowest, 1000), 808u);
  EXPECT_EQ(ShardOfFid(5, 1), 0u);
}

}  // namespace
}  // namespace monolith
