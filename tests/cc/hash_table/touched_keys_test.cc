// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/touched_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <numeric>
#include <thread>

#include "cc/hash_table/table_config.h"

namespace monolith {
namespace {

std::vector<int64_t> Range(int64_t begin, int64_t end) {
  std::vector<int64_t> keys(end - begin);
  std::iota(keys.begin(), keys.end(), begin);
  return keys;
}

int64_t Insert(TouchedKeys* set, const std::vector<int64_t>& keys) { return set->Insert(keys.data(), keys.size()); }

std::vector<int64_t> StealSorted(TouchedKeys* set) {
  std::vector<int64_t> keys = set->Steal();
  std::sort(keys.begin(), keys.end());
  return keys;
}

TEST(TouchedKeysTest, HoldsItsCapacityAndOneMore) {
  for (int level : {1, 1024, 1 << 20}) {
    TouchedKeys set(1000, level);
    EXPECT_EQ(Insert(&set, Range(0, 1000)), 0);
    EXPECT_EQ(Insert(&set, Range(0, 1000)), 0) << "they are there already";
    EXPECT_EQ(StealSorted(&set), Range(0, 1000));
    EXPECT_TRUE(set.Steal().empty());
    EXPECT_EQ(Insert(&set, Range(0, 1005)), 1001);
    EXPECT_EQ(StealSorted(&set), Range(1001, 1005));
  }
}

TEST(TouchedKeysTest, AnyKeyIsAKey) {
  TouchedKeys set(10, 1);
  const std::vector<int64_t> keys = {std::numeric_limits<int64_t>::min(), -1, 0, std::numeric_limits<int64_t>::max()};
  EXPECT_EQ(Insert(&set, keys), 0);
  EXPECT_EQ(StealSorted(&set), keys);
}

TEST(TouchedKeysTest, RefusesSizesBelowOne) {
  EXPECT_THROW(TouchedKeys(0, 1), TableError);
  EXPECT_THROW(TouchedKeys(1, 0), TableError);
}

TEST(TouchedKeysTest, NoKeyIsLostBetweenThreads) {
  // Every key is inserted once, so: dropped + stolen = inserted.
  constexpr int64_t kKeys = 20000;
  TouchedKeys set(700, 16);
  std::atomic<int64_t> dropped{0}, stolen{0};
  std::atomic<int> inserting{3};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < kKeys; i += 100) dropped += Insert(&set, Range(t * kKeys + i, t * kKeys + i + 100));
      --inserting;
    });
  }
  threads.emplace_back([&] {
    while (inserting.load() > 0) stolen += set.Steal().size();
  });
  for (std::thread& thread : threads) thread.join();
  stolen += set.Steal().size();
  EXPECT_EQ(dropped + stolen, 3 * kKeys);
}

}  // namespace
}  // namespace monolith
