// SPDX-License-Identifier: Apache-2.0
// Chunks of rows and the sums of what they give.
#include "cc/layers/partial_sums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace monolith::layers {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(NumChunks, is_a_number_of_sizes_alone) {
  EXPECT_EQ(NumChunks(2048, 100, 100), 16);
  EXPECT_EQ(NumChunks(129, 100, 100), 2);
  EXPECT_EQ(NumChunks(128, 100, 100), 1);
  EXPECT_EQ(NumChunks(0, 100, 100), 1);
}

TEST(NumChunks, partial_sums_do_not_outgrow_the_rows) {
  EXPECT_EQ(NumChunks(2048, 100, 2048 * 100 / 3), 3);
  EXPECT_EQ(NumChunks(2048, 1, 1000000), 1);
  EXPECT_EQ(NumChunks(2048, 1, 0), 16);
}

TEST(ChunkBegin, covers_all_rows) {
  for (int64_t num_rows : {0, 1, 7, 1000}) {
    EXPECT_EQ(ChunkBegin(0, 7, num_rows), 0);
    EXPECT_EQ(ChunkBegin(7, 7, num_rows), num_rows);
    for (int64_t i = 0; i < 7; ++i) EXPECT_LE(ChunkBegin(i, 7, num_rows), ChunkBegin(i + 1, 7, num_rows));
  }
}

TEST(SumPartials, adds_in_order_within_its_range) {
  const std::vector<float> partials{1, 2, 3, 10, 20, 30};
  std::vector<float> total(3, -1);
  SumPartials(partials.data(), 2, 3, 1, 3, total.data());
  EXPECT_THAT(total, ElementsAre(-1, 22, 33));
  std::vector<float> many(3 * 100, 0.5f), sums(100);
  SumPartials(many.data(), 3, 100, 0, 100, sums.data());
  EXPECT_THAT(sums, Each(1.5f));
}

}  // namespace
}  // namespace monolith::layers
