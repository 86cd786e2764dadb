// SPDX-License-Identifier: Apache-2.0
#include "cc/data/item_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using data::ItemFeatures;
using data::ItemPool;
using ::testing::HasSubstr;

std::shared_ptr<const ItemFeatures> Features(uint64_t fid) {
  auto features = std::make_shared<ItemFeatures>();
  features->fids = {fid};
  return features;
}

// The gid drawn at a place of a queue of `size`.
ItemPool::Drawn DrawAt(ItemPool* pool, int64_t channel, double draw) {
  Drawn drawn({draw});
  ItemPool::Drawn item;
  EXPECT_TRUE(pool->Draw(channel, &drawn, &item));
  return item;
}

TEST(ItemPoolTest, AQueueOfDistinctItems) {
  ItemPool pool(0, 3);
  for (const int64_t gid : {1, 2, 1, 3}) pool.Push(7, gid, Features(gid));
  EXPECT_EQ(DrawAt(&pool, 7, 0).gid, 1) << "an item that comes again keeps its place";
  pool.Push(7, 4, Features(4));
  EXPECT_EQ(DrawAt(&pool, 7, 0).gid, 2);
  EXPECT_EQ(DrawAt(&pool, 7, 0.5).gid, 3);
  EXPECT_EQ(DrawAt(&pool, 7, 0.999).gid, 4);
  pool.Push(7, 1, Features(1));
  EXPECT_EQ(DrawAt(&pool, 7, 0).gid, 3);
  EXPECT_EQ(DrawAt(&pool, 7, 0.999).index, 2);
}

TEST(ItemPoolTest, FeaturesAreTheLast) {
  ItemPool pool(0, 3);
  pool.Push(7, 1, Features(10));
  pool.Push(7, 1, Features(11));
  EXPECT_EQ(DrawAt(&pool, 7, 0).features->fids, (std::vector<uint64_t>{11}));
  EXPECT_EQ(DrawAt(&pool, 7, 0).times, 2);
}

TEST(ItemPoolTest, DrawsWaitForItems) {
  ItemPool pool(2, 10);
  Drawn none;
  ItemPool::Drawn item;
  int64_t channel;
  EXPECT_FALSE(pool.DrawChannel(&none, &channel));
  for (const int64_t gid : {1, 2, 3}) {
    EXPECT_FALSE(pool.Draw(7, &none, &item));
    pool.Push(7, gid, Features(gid));
  }
  EXPECT_EQ(DrawAt(&pool, 7, 0).size, 3);
  EXPECT_FALSE(pool.Draw(8, &none, &item));
}

TEST(ItemPoolTest, ChannelsBySize) {
  ItemPool pool(0, 10);
  pool.Push(-5, 1, Features(1));
  for (const int64_t gid : {1, 2, 3}) pool.Push(9, gid, Features(gid));
  for (const auto& [draw, expected] : {std::pair<double, int64_t>{0, -5}, {0.24, -5}, {0.25, 9}, {0.99, 9}}) {
    Drawn drawn({draw});
    int64_t channel = 0;
    EXPECT_TRUE(pool.DrawChannel(&drawn, &channel));
    EXPECT_EQ(channel, expected);
  }
}

TEST(ItemPoolTest, SavedAndRead) {
  ItemPool pool(0, 3);
  for (int64_t gid = -2; gid < 3; ++gid) pool.Push(gid % 2, gid, Features(gid));
  DrawAt(&pool, 0, 0.5);
  const auto shards = pool.Save(2);
  ASSERT_EQ(shards.size(), 2u);
  EXPECT_EQ(shards[0].size(), 1u);
  EXPECT_EQ(shards[1].size(), 2u) << "channels -1 and 1, the first as an unsigned number";
  ItemPool other(0, 3);
  ItemPool::Restored restored;
  for (const auto& shard : shards) {
    for (const std::string& channel : shard) other.Read(channel, &restored);
  }
  EXPECT_FALSE(other.Equals(pool));
  other.Finish(&restored);
  EXPECT_TRUE(other.Equals(pool));
  other.Push(0, 0, Features(0));
  EXPECT_FALSE(other.Equals(pool)) << "a count differs";
}

TEST(ItemPoolTest, Refusals) {
  EXPECT_THAT(Refusal([] { ItemPool(-1, 1); }), HasSubstr("start_num is -1"));
  EXPECT_THAT(Refusal([] { ItemPool(0, 0); }), HasSubstr("max_item_num_per_channel is 0"));
  ItemPool pool(0, 1);
  ItemPool::Restored restored;
  EXPECT_THAT(Refusal([&] { pool.Read("\xff", &restored); }), HasSubstr("no ChannelCache"));
  EXPECT_THAT(Refusal([&] { pool.Read(Field(2, Field(3, Field(1, "\xff"))), &restored); }),
              HasSubstr("no ChannelCache"))
      << "a column that is no NamedFeature";
}

class Middle : public data::UniformSource {
 public:
  double Next() override { return 0.5; }
};

TEST(ItemPoolTest, Threads) {
  ItemPool pool(0, 50);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      Middle middle;
      ItemPool::Drawn item;
      for (int64_t i = 0; i < 500; ++i) {
        pool.Push(i % 3, i * 7 % 101 + t, Features(i));
        pool.Draw(i % 3, &middle, &item);
        if (i % 100 == 0) pool.Save(2);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(DrawAt(&pool, 0, 0).size, 50);
}

}  // namespace
}  // namespace testing
}  // namespace monolith
