// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/background_records.h"

#include <future>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace monolith {
namespace {

using Records = std::vector<std::string>;

TEST(BackgroundRecords, TheEndHandsOnWhatWaits) {
  Records written;
  {
    std::promise<void> gate;
    BackgroundRecords records(100, [&, opened = gate.get_future().share()](const Records& some) {
      opened.wait();
      written.insert(written.end(), some.begin(), some.end());
      return std::string();
    });
    EXPECT_EQ(records.Put({"a", "", "b"}), "");
    EXPECT_EQ(records.Put({"c"}), "");
    gate.set_value();
  }
  EXPECT_EQ(written, (Records{"a", "b", "c"}));
}

TEST(BackgroundRecords, WhoPutsMoreThanFitsWaits) {
  Records written;
  std::promise<void> gate;
  {
    BackgroundRecords records(2, [&, opened = gate.get_future().share()](const Records& some) {
      opened.wait();
      EXPECT_LE(some.size(), 2u);
      written.insert(written.end(), some.begin(), some.end());
      return std::string();
    });
    std::future<std::string> putting =
        std::async(std::launch::async, [&] { return records.Put(Records(50, std::string(1, 'x'))); });
    gate.set_value();
    EXPECT_EQ(putting.get(), "");
  }
  EXPECT_EQ(written, Records(50, "x"));
}

TEST(BackgroundRecords, AnErrorReachesWhoPutsNextAndWhoWaits) {
  BackgroundRecords records(1, [](const Records&) { return std::string("the disk is full"); });
  // More than there is room for: the last of them waits until the error is known.
  EXPECT_EQ(records.Put({"a", "b", "c", "d"}), "the disk is full");
  EXPECT_EQ(records.Put({"e"}), "the disk is full");
  EXPECT_EQ(records.Put({}), "the disk is full");
}

TEST(BackgroundRecords, RecordsOfManyThreadsAllArrive) {
  size_t written = 0;
  {
    BackgroundRecords records(3, [&](const Records& some) {
      written += some.size();
      return std::string();
    });
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 100; ++k) records.Put({"a", "b"});
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(written, 800u);
}

}  // namespace
}  // namespace monolith
