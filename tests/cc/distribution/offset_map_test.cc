// SPDX-License-Identifier: Apache-2.0
// Every distinct key once, its vector everywhere: worked cases, and random ones against a map.
#include "cc/distribution/offset_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>

namespace monolith::distribution {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ints = std::vector<int64_t>;

const Ints kKeys{0, 1, 2, 1, 0, 0, 1, 0};
const Ints kSplits{0, 0, 5, 8, 8};
const Ints kDims{1, 2, 3, 4};

UniqueKeys Unique(const Ints& keys, const Ints& splits, const Ints& dims) {
  UniqueKeys unique;
  EXPECT_FALSE(UniqueWithOffsets(keys, splits, dims, &unique));
  return unique;
}

TEST(UniqueWithOffsets, worked_case) {
  const UniqueKeys unique = Unique(kKeys, kSplits, kDims);
  EXPECT_THAT(unique.keys, ElementsAre(0, 1, 2, 0, 1));
  EXPECT_THAT(unique.key_splits, ElementsAre(0, 0, 3, 5, 5));
  EXPECT_THAT(unique.offsets, ElementsAre(0, 8, 2, 6, 4, 10, 16, 13));
  EXPECT_THAT(unique.offset_splits, ElementsAre(0, 2, 4, 5, 7, 8));
  EXPECT_EQ(unique.buffer_size, 19);
}

TEST(UniqueWithOffsets, wrong_dims_are_named) {
  UniqueKeys unique;
  EXPECT_THAT(*UniqueWithOffsets(kKeys, kSplits, Ints{1, 2}, &unique), HasSubstr("holds 2 widths but key has 4"));
  EXPECT_THAT(*UniqueWithOffsets(kKeys, kSplits, Ints{1, 2, -3, 4}, &unique), HasSubstr("dims[2] is -3"));
}

TEST(OffsetMap, worked_case_there_and_back) {
  const UniqueKeys unique = Unique(kKeys, kSplits, kDims);
  const Ints pos{0, 1, 2, 3, 4}, pos_splits{0, 0, 3, 5, 5};
  const OffsetMap map{pos, pos_splits, unique.offsets, unique.offset_splits, kDims};
  ASSERT_FALSE(CheckOffsetMap(map, 12, 19));
  EXPECT_THAT(*CheckOffsetMap(map, 10, 19), HasSubstr("holds 10 floats"));
  EXPECT_THAT(*CheckOffsetMap(map, 12, 18), HasSubstr("does not fit there into a buffer of 18"));
  std::vector<float> values(12), buffer(19);
  std::iota(values.begin(), values.end(), 0.0f);
  FillBuffer(map, values.data(), 0, 5, buffer.data());
  EXPECT_THAT(buffer, ElementsAre(0, 1, 2, 3, 4, 5, 2, 3, 0, 1, 6, 7, 8, 9, 10, 11, 6, 7, 8));
  std::iota(buffer.begin(), buffer.end(), 0.0f);
  SumFromBuffer(map, buffer.data(), 0, 5, values.data());
  EXPECT_THAT(values, ElementsAre(8, 10, 8, 10, 4, 5, 26, 28, 30, 13, 14, 15));
}

TEST(OffsetMap, any_cut_of_the_positions_gives_the_same) {
  std::mt19937_64 random(3);
  const Ints dims{3, 1, 7};
  Ints keys(600), splits{0, 250, 251, 600};
  for (int64_t& key : keys) key = static_cast<int64_t>(random() % 60) - (int64_t{1} << 62);
  const UniqueKeys unique = Unique(keys, splits, dims);
  Ints pos(unique.keys.size());
  std::iota(pos.begin(), pos.end(), 0);
  const OffsetMap map{pos, unique.key_splits, unique.offsets, unique.offset_splits, dims};
  std::vector<float> values(ValueSize(map));
  std::iota(values.begin(), values.end(), 1.0f);
  std::vector<float> whole(unique.buffer_size), parts(unique.buffer_size), expected;
  FillBuffer(map, values.data(), 0, pos.size(), whole.data());
  for (size_t i = 0; i < pos.size(); i += 7) {
    FillBuffer(map, values.data(), i, std::min(pos.size(), i + 7), parts.data());
  }
  EXPECT_EQ(parts, whole);
  size_t next = 0;
  for (size_t row = 0; row < dims.size(); ++row) {
    std::map<int64_t, size_t> first;  // key -> place of its vector among the values
    for (int64_t i = splits[row]; i < splits[row + 1]; ++i) {
      const auto [it, fresh] = first.emplace(keys[i], next);
      if (fresh) next += dims[row];
      expected.insert(expected.end(), &values[it->second], &values[it->second] + dims[row]);
    }
  }
  EXPECT_EQ(whole, expected);
}

}  // namespace
}  // namespace monolith::distribution
