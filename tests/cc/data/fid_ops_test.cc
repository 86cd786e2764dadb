// SPDX-License-Identifier: Apache-2.0
#include "cc/data/fid_ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cc/data/fid.h"
#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using ::testing::HasSubstr;

TEST(FidOpsTest, Hashes) {
  EXPECT_EQ(data::CityHash64(185), 0xb52c190dfbf33520u);
  EXPECT_EQ(data::ExtractFid(data::MakeFid(2, 4, 0), 185), 1153447759131936u);
}

TEST(FidOpsTest, Pairs) {
  const uint64_t slot = data::MakeFid(2, 505, 0);
  EXPECT_EQ(data::CombineFids(slot, V2(1, 100), V2(2, 200)), 142144871828835872u);
  EXPECT_EQ(data::CombineFids(slot, -1, 1), slot) << "both halves of -1 are the same";
  const int64_t least = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(data::CombineFids(slot, least, least), slot) << "2^126 has no bit among the 48";
  for (const int64_t fid : {least, int64_t{-7}, int64_t{3}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_EQ(data::V2Slot(data::CombineFids(slot, fid, fid)), 505u) << "no bit leaks into the slot";
  }
}

TEST(FidOpsTest, Splits) {
  const auto check = [](std::vector<int32_t> splits) {
    return Refusal([&] { data::CheckSplits("splits", splits.data(), static_cast<int64_t>(splits.size()), 2); });
  };
  EXPECT_EQ(check({0, 1, 1, 2}), "");
  EXPECT_THAT(check({}), HasSubstr("are empty"));
  EXPECT_THAT(check({1, 2}), HasSubstr("begin with 1"));
  EXPECT_THAT(check({0, 2, 1, 2}), HasSubstr("fall from 2 to 1"));
  EXPECT_THAT(check({0, 3}), HasSubstr("end with 3, but there are 2"));
}

}  // namespace
}  // namespace testing
}  // namespace monolith
