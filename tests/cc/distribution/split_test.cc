// SPDX-License-Identifier: Apache-2.0
// Dealing rows and ragged values out to shards, and joining row splits.
#include "cc/distribution/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "cc/distribution/map_ids.h"

namespace monolith::distribution {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ints = std::vector<int64_t>;

TEST(CheckSplits, names_what_is_wrong) {
  EXPECT_FALSE(CheckSplits("s", Ints{0, 2, 2}, 2));
  EXPECT_THAT(*CheckSplits("s", Ints{}, 0), HasSubstr("s is empty"));
  EXPECT_THAT(*CheckSplits("s", Ints{1, 2}, 2), HasSubstr("s starts with 1"));
  EXPECT_THAT(*CheckSplits("s", Ints{0, 2, 1}, 1), HasSubstr("falls from 2 to 1 at 2"));
  EXPECT_THAT(*CheckSplits("s", Ints{0, 2}, 3), HasSubstr("ends with 2 but there are 3 values"));
}

TEST(CheckIndices, names_the_first_outside) {
  EXPECT_FALSE(CheckIndices("i", Ints{0, 1}, 2, "r"));
  EXPECT_EQ(*CheckIndices("i", Ints{0, 2}, 2, "r"), "i[1] is 2 but must lie in [0, 2); r");
  EXPECT_THAT(*CheckIndices("i", Ints{-1}, 2, "r"), HasSubstr("i[0] is -1"));
}

TEST(SplitRows, merge_is_the_inverse) {
  std::mt19937 random(7);
  Ints indices(1000);
  std::vector<float> rows(3000);
  for (int64_t& index : indices) index = random() % 5;
  for (float& value : rows) value = static_cast<float>(random());
  std::vector<std::vector<float>> parts(5);
  std::vector<char*> to;
  std::vector<const char*> from;
  const Ints counts = CountSplits(indices, 5);
  for (int i = 0; i < 5; ++i) {
    parts[i].resize(counts[i] * 3);
    to.push_back(reinterpret_cast<char*>(parts[i].data()));
    from.push_back(to.back());
  }
  SplitRows(indices, reinterpret_cast<const char*>(rows.data()), 12, to);
  std::vector<float> back(3000);
  MergeRows(indices, from, 12, reinterpret_cast<char*>(back.data()));
  EXPECT_EQ(back, rows);
}

TEST(SplitRagged, every_part_keeps_all_rows) {
  const auto parts = SplitRagged(Ints{0, 1, 0, 1}, Ints{4, 3, 2, 1}, Ints{0, 0, 0, 3, 4, 4, 4}, 2);
  EXPECT_THAT(parts[0].values, ElementsAre(4, 2));
  EXPECT_THAT(parts[0].row_splits, ElementsAre(0, 0, 0, 2, 2, 2, 2));
  EXPECT_THAT(parts[0].positions, ElementsAre(0, 2));
  EXPECT_THAT(parts[1].values, ElementsAre(3, 1));
  EXPECT_THAT(parts[1].row_splits, ElementsAre(0, 0, 0, 1, 2, 2, 2));
  EXPECT_THAT(parts[1].positions, ElementsAre(1, 3));
}

TEST(JoinRowSplits, parts_follow_one_another) {
  Ints joined;
  ASSERT_FALSE(JoinRowSplits(Ints{0, 2, 5, 5, 9, 0, 0, 3, 4}, std::vector<int32_t>{5, 4}, &joined));
  EXPECT_THAT(joined, ElementsAre(0, 2, 5, 5, 9, 9, 12, 13));
  ASSERT_FALSE(JoinRowSplits(Ints{}, std::vector<int32_t>{}, &joined));
  EXPECT_THAT(joined, ElementsAre(0));
  EXPECT_THAT(*JoinRowSplits(Ints{0, 1}, std::vector<int32_t>{3}, &joined), HasSubstr("is 3 with 2"));
  EXPECT_THAT(*JoinRowSplits(Ints{0, 1}, std::vector<int32_t>{1}, &joined), HasSubstr("adds up to 1"));
}

TEST(LocateIds, first_occurrence_wins_and_strangers_are_named) {
  const Ints one{5, -1, 5}, other{-1, 9};
  std::vector<ShardRow> rows;
  ASSERT_FALSE(LocateIds({one, other}, Ints{9, -1, 5, 9}, &rows));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].shard, 1);
  EXPECT_EQ(rows[0].row, 1);
  EXPECT_EQ(rows[1].shard, 0);
  EXPECT_EQ(rows[1].row, 1);
  EXPECT_EQ(rows[2].row, 0);
  EXPECT_THAT(*LocateIds({one, other}, Ints{7}, &rows), HasSubstr("id 7 of input is in none of the 2"));
}

}  // namespace
}  // namespace monolith::distribution
