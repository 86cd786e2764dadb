// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/fused_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cc/hash_table/table_config.h"

namespace monolith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

FusedLayout Layout(const std::vector<int32_t>& sizes, int num_shards, const std::vector<int>& dims, int64_t num_ids) {
  return FusedLayout(sizes.data(), sizes.size(), num_shards, dims, num_ids);
}

template <typename Body>
std::string ErrorOf(Body body) {
  try {
    body();
  } catch (const TableError& error) {
    return error.what();
  }
  return "none";
}

TEST(FusedLayoutTest, OffsetsAreSumsOfWhatComesBefore) {
  const FusedLayout layout = Layout({1, 0, 1, 0, 1, 1}, 2, {1, 2, 2}, 4);
  std::vector<int32_t> ids(7), values(7), splits(2);
  layout.WriteIdOffsets(ids.data());
  layout.WriteValueOffsets(values.data());
  layout.WriteValueSplits(splits.data());
  EXPECT_THAT(ids, ElementsAre(0, 1, 1, 2, 2, 3, 4));
  EXPECT_THAT(values, ElementsAre(0, 1, 1, 3, 3, 5, 7));
  EXPECT_THAT(splits, ElementsAre(3, 4));
  EXPECT_EQ(layout.num_values(), 7);
}

TEST(FusedLayoutTest, WrongSizesAreNamed) {
  EXPECT_THAT(ErrorOf([] { Layout({1, 1, 1}, 2, {1, 2}, 3); }),
              HasSubstr("fused_slot_size has 3 elements, but 2 tables in 2 shards need 4"));
  EXPECT_THAT(ErrorOf([] { Layout({1, -1}, 1, {1, 2}, 0); }), HasSubstr("fused_slot_size[1] is -1; it must be"));
  EXPECT_THAT(ErrorOf([] { Layout({1, 1}, 1, {1, 2}, 3); }),
              HasSubstr("fused_slot_size adds up to 2, but there are 3 ids"));
  EXPECT_THAT(ErrorOf([] { Layout({1 << 21}, 1, {1 << 10}, 1 << 21); }),
              HasSubstr("the embeddings have 2147483648 floats, but offsets have 32 bits"));
}

struct Arrays {
  std::vector<int64_t> ids = {7, 8, 9};
  std::vector<float> values = {1, 2, 3};
  std::vector<int32_t> id_offsets = {0, 1, 1, 2, 3}, value_offsets = {0, 1, 1, 3, 3};
};

// Two tables of widths 1 and 2 in two shards; the second table has nothing in the first.
std::vector<std::vector<RowRun>> Runs(const Arrays& a) {
  return RunsByTable(Layout({1, 0, 2, 0}, 2, {1, 2}, 3), a.ids.data(), a.ids.size(),
                     {a.id_offsets.data(), static_cast<int64_t>(a.id_offsets.size())}, a.values.data(), a.values.size(),
                     {a.value_offsets.data(), static_cast<int64_t>(a.value_offsets.size())});
}

TEST(FusedLayoutTest, RunsFollowTheOffsets) {
  Arrays a;
  a.id_offsets = {2, 0, 0, 0, 0};
  a.value_offsets = {2, 0, 0, 0};
  const auto runs = Runs(a);
  ASSERT_EQ(runs.size(), 2u);
  ASSERT_EQ(runs[0].size(), 2u);
  EXPECT_EQ(*runs[0][0].fids, 9);
  EXPECT_EQ(*runs[0][0].rows, 3);
  EXPECT_EQ(runs[0][1].n, 2);
  EXPECT_EQ(*runs[0][1].fids, 7);
  EXPECT_TRUE(runs[1].empty());
}

TEST(FusedLayoutTest, OffsetsOutsideTheirArraysAreNamed) {
  Arrays a;
  a.id_offsets = {0, 1, 1};
  EXPECT_THAT(ErrorOf([&] { Runs(a); }), HasSubstr("id_offsets has 3 elements, but there are 4 parts"));
  a = Arrays();
  a.id_offsets[2] = 2;
  EXPECT_THAT(ErrorOf([&] { Runs(a); }), HasSubstr("id_offsets[2] is 2, but part 2 has 2 of the 3 elements of ids"));
  a = Arrays();
  a.value_offsets[0] = -1;
  EXPECT_THAT(ErrorOf([&] { Runs(a); }),
              HasSubstr("grad_offsets[0] is -1, but part 0 has 1 of the 3 elements of id_gra"));
  a = Arrays();
  a.value_offsets[2] = 3;
  EXPECT_THAT(ErrorOf([&] { Runs(a); }), HasSubstr("grad_offsets[2] is 3"));
  a = Arrays();
  a.values.push_back(4);
  EXPECT_THAT(ErrorOf([&] { Runs(a); }), HasSubstr("id_grads has 4 floats, but the ids need 3"));
}

}  // namespace
}  // namespace monolith
