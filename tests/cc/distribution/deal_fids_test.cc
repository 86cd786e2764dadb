// SPDX-License-Identifier: Apache-2.0
// Dealing fids out: worked cases, and messages that are none.
#include "cc/distribution/deal_fids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cc/data/data_error.h"

namespace monolith::distribution {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ints = std::vector<int64_t>;

constexpr int64_t kServer = int64_t{1} << 32;

TEST(DealTableTest, EqualFidsOfAllFeaturesAreOne) {
  const Ints first{4, 7, 4, 9}, second{9, 2, 7};
  Ints places(7);
  const auto dealt = DealTable({{first, places.data()}, {second, places.data() + 4}}, 2);
  EXPECT_THAT(dealt, ElementsAre(ElementsAre(4, 2), ElementsAre(7, 9)));
  EXPECT_THAT(places, ElementsAre(0, kServer, 0, kServer + 1, kServer + 1, 1, kServer));
}

TEST(DealTableTest, FidsAreUnsigned) {
  const Ints fids{-1, -7, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  Ints places(4);
  // 2^64 - 1, 2^64 - 7, 2^63 and 2^63 - 1 leave 0, 0, 2 and 1.
  EXPECT_THAT(DealTable({{fids, places.data()}}, 3),
              ElementsAre(ElementsAre(-1, -7), ElementsAre(fids[3]), ElementsAre(fids[2])));
  EXPECT_THAT(places, ElementsAre(0, 1, 2 * kServer, kServer));
  EXPECT_THAT(DealTable({{Ints{-1}, places.data()}}, 4), ElementsAre(Ints{}, Ints{}, Ints{}, ElementsAre(-1)));
}

TEST(DealTableTest, NoFeatureAndNoFid) {
  EXPECT_THAT(DealTable({}, 2), ElementsAre(Ints{}, Ints{}));
  EXPECT_THAT(DealTable({{Ints{}, nullptr}}, 1), ElementsAre(Ints{}));
}

TEST(MessageTest, HasSplitsAndFidsOfEveryTable) {
  const std::vector<std::vector<Ints>> tables = {{{4, 2}, {7}}, {{}, {}}, {{6}, {1, 3}}};
  Ints message(MessageSize(tables, 1));
  WriteMessage(tables, 1, message.data());
  EXPECT_THAT(message, ElementsAre(0, 1, 1, 3, 7, 1, 3));
  CheckMessage(message, 3, 1);
}

std::string Refusal(const Ints& message, int num_tables) {
  try {
    CheckMessage(message, num_tables, 5);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(MessageTest, OthersAreRefused) {
  EXPECT_EQ(Refusal({0, 1, 2, 8, 9}, 2), "");
  EXPECT_THAT(Refusal({0, 1}, 2), HasSubstr("server 5 are 2 numbers, too few for the row splits of 2 tables"));
  EXPECT_THAT(Refusal({1, 1, 2, 8, 9}, 2), HasSubstr("row splits from 1 to 2, but there are 2"));
  EXPECT_THAT(Refusal({0, 1, 3, 8, 9}, 2), HasSubstr("row splits from 0 to 3, but there are 2"));
  EXPECT_THAT(Refusal({0, 3, 2, 8, 9}, 2), HasSubstr("decrease at table 1; pass what MonolithDealFids made"));
}

}  // namespace
}  // namespace monolith::distribution
