// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/timer_stats.h"

#include <string>
#include <vector>

#include "cc/monitoring/process_memory.h"
#include "gtest/gtest.h"

namespace monolith {
namespace {

TEST(TimerStats, SumsTheLastMinutesOnly) {
  TimerStats stats;
  stats.Add(-2, 0);
  stats.Add(-1, 59);
  stats.Add(5, 60);
  EXPECT_EQ(stats.Last(1, 59).count, 2);
  EXPECT_EQ(stats.Last(1, 59).sum, -3);
  EXPECT_EQ(stats.Last(1, 59).max, -1);
  EXPECT_EQ(stats.Last(1, 60).count, 1);
  EXPECT_EQ(stats.Last(5, 119).sum, 2);
  EXPECT_EQ(stats.Last(5, 5 * 60 + 59).count, 1);
  EXPECT_EQ(stats.Last(15, 16 * 60).count, 0);
}

TEST(TimerStats, AMinuteFifteenLaterTakesThePlaceOfAnOldOne) {
  TimerStats stats;
  stats.Add(1, 0);
  stats.Add(2, 15 * 60);
  EXPECT_EQ(stats.Last(15, 15 * 60).sum, 2);
}

TEST(TimerRegistry, ReportsEveryNameOnceInAWhile) {
  TimerRegistry registry;
  EXPECT_TRUE(registry.Add("a", 1, 1000, 600).empty());
  EXPECT_TRUE(registry.Add("b", 2, 1599, 600).empty());
  const std::vector<std::string> lines = registry.Add("b", 4, 1600, 600);
  EXPECT_EQ(lines,
            (std::vector<std::string>{
                "a | 1 min: 0 values, mean 0, max 0 | 5 min: 0 values, mean 0, max 0 | 15 min: 1 values, mean 1, max 1",
                "b | 1 min: 2 values, mean 3, max 4 | 5 min: 2 values, mean 3, max 4 | 15 min: 2 values, mean 3, max 4",
            }));
  EXPECT_TRUE(registry.Add("b", 4, 1601, 600).empty());
}

TEST(ResidentBytes, GrowsWithWhatIsTouched) {
  const int64_t before = ResidentBytes();
  EXPECT_GT(before, 0);
  constexpr int64_t kBytes = int64_t{64} << 20;
  const std::vector<char> touched(kBytes, 1);
  EXPECT_GE(ResidentBytes(), before + kBytes / 2);
  EXPECT_EQ(touched[kBytes - 1], 1);
}

}  // namespace
}  // namespace monolith
