// SPDX-License-Identifier: Apache-2.0
#include "cc/data/fid.h"

#include <gtest/gtest.h>

namespace monolith {
namespace data {
namespace {

TEST(FidTest, Layouts) {
  EXPECT_EQ(MakeFid(1, 1, 100), 18014398509482084u);
  EXPECT_EQ(V1ToV2(18014398509482084u), 281474976710756u);
  EXPECT_EQ(V1ToV2(~uint64_t{0}), 288230376151711743u);
  EXPECT_EQ(V1Slot(290956192322012601u), 16u);
  EXPECT_EQ(V1Signature(290956192322012601u), 2725816170300857u);
  EXPECT_EQ(V1ToV2(290956192322012601u), 4696141007275449u);
  EXPECT_EQ(V2Slot(uint64_t{32767} << 48), 32767u);
}

TEST(FidTest, SignaturesAreCutAndSlotsAreNot) {
  EXPECT_EQ(V1Signature(MakeFid(1, 1023, uint64_t{1} << 54)), 0u);
  EXPECT_EQ(V2Signature(MakeFid(2, 32767, uint64_t{1} << 48)), 0u);
  EXPECT_EQ(V1Slot(MakeFid(1, 1023, uint64_t{1} << 54)), 1023u);
  EXPECT_THROW(MakeFid(1, 1024, 0), DataError);
  EXPECT_THROW(MakeFid(2, 32768, 0), DataError);
  EXPECT_THROW(MakeFid(2, -1, 0), DataError);
}

}  // namespace
}  // namespace data
}  // namespace monolith
