// SPDX-License-Identifier: Apache-2.0
// The eviction thread by a clock that tests move by hand: nothing here waits for time to pass.
#include "cc/hash_table/eviction_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::Assign;
using ::testing::HasSubstr;
using testing::MakeConfig;
using testing::MakeSlice;

constexpr int64_t kHour = 3600, kDay = 86400;

// The hands of a clock, which outlive the thread's use of it.
class Hands {
 public:
  // Moves the clock, and returns once the thread sleeps again with nothing left to do.
  void Advance(int64_t seconds) {
    std::unique_lock<std::mutex> lock(mutex_);
    now_ += seconds;
    changed_.notify_all();
    AwaitSleep(&lock);
  }
  void AwaitSleep() {
    std::unique_lock<std::mutex> lock(mutex_);
    AwaitSleep(&lock);
  }
  int64_t deadline() {
    std::lock_guard<std::mutex> lock(mutex_);
    return deadline_;
  }

 private:
  friend class HandClock;
  void AwaitSleep(std::unique_lock<std::mutex>* lock) {
    changed_.wait(*lock, [this] { return deadline_ > now_; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t now_ = 5000;     // all guarded by mutex_
  int64_t deadline_ = -1;  // of the sleeping thread; -1: it is awake
  bool stopped_ = false;
};

class HandClock : public EvictionClock {
 public:
  explicit HandClock(Hands* hands) : hands_(*hands) {}
  int64_t Now() override {
    std::lock_guard<std::mutex> lock(hands_.mutex_);
    return hands_.now_;
  }
  bool SleepUntil(int64_t deadline) override {
    std::unique_lock<std::mutex> lock(hands_.mutex_);
    hands_.deadline_ = deadline;
    hands_.changed_.notify_all();
    hands_.changed_.wait(lock, [&] { return hands_.stopped_ || hands_.now_ >= deadline; });
    hands_.deadline_ = -1;
    return !hands_.stopped_;
  }
  void Stop() override {
    std::lock_guard<std::mutex> lock(hands_.mutex_);
    hands_.stopped_ = true;
    hands_.changed_.notify_all();
  }

 private:
  Hands& hands_;
};

TableConfig Evicting(const std::string& name, int hours, uint32_t days = 1) {
  TableConfig config = MakeConfig({MakeSlice(1)});
  config.name = name;
  config.expire.default_days = days;
  config.enable_feature_eviction = hours != 0;
  config.feature_evict_every_n_hours = hours;
  return config;
}

// Fid 1 has expired, fid 2 is the latest.
void Fill(EmbeddingTable* table) {
  Assign(table, {1}, {1}, 0);
  Assign(table, {2}, {1}, kDay);
}

TEST(EvictionThreadTest, FirstNotesTheTimeThenEvictsEveryNHours) {
  MultiTable tables({Evicting("a", 3)});
  EmbeddingTable* table = &tables.table(0);
  Fill(table);
  Hands hands;
  const EvictionThread thread(&tables, std::make_unique<HandClock>(&hands));
  hands.AwaitSleep();
  hands.Advance(3 * kHour - 1);
  EXPECT_EQ(table->size(), 2u);
  hands.Advance(1);
  EXPECT_EQ(table->size(), 1u);
  Assign(table, {1}, {1}, 0);
  hands.Advance(3 * kHour - 1);
  EXPECT_EQ(table->size(), 2u);
  hands.Advance(1);
  EXPECT_EQ(table->size(), 1u);
}

TEST(EvictionThreadTest, EveryTableHasItsOwnHoursAndExpireTimes) {
  MultiTable tables({Evicting("slow", 5), Evicting("never", 0), Evicting("fast", 2), Evicting("patient", 2, 2)});
  for (int i = 0; i < tables.num_tables(); ++i) Fill(&tables.table(i));
  Hands hands;
  const EvictionThread thread(&tables, std::make_unique<HandClock>(&hands));
  hands.AwaitSleep();
  const auto sizes = [&] {
    std::vector<uint64_t> sizes;
    for (int i = 0; i < tables.num_tables(); ++i) sizes.push_back(tables.table(i).size());
    return sizes;
  };
  hands.Advance(2 * kHour);
  EXPECT_EQ(sizes(), (std::vector<uint64_t>{2, 2, 1, 2}));
  Fill(&tables.table(2));
  hands.Advance(2 * kHour);
  EXPECT_EQ(sizes(), (std::vector<uint64_t>{2, 2, 1, 2}));
  hands.Advance(kHour);
  EXPECT_EQ(sizes(), (std::vector<uint64_t>{1, 2, 1, 2}));
}

TEST(EvictionThreadTest, AClockThatJumpsMakesOnePass) {
  MultiTable tables({Evicting("a", 1)});
  Hands hands;
  const EvictionThread thread(&tables, std::make_unique<HandClock>(&hands));
  hands.AwaitSleep();
  hands.Advance(100 * kHour);
  EXPECT_EQ(hands.deadline(), 5000 + 101 * kHour);
}

TEST(EvictionThreadTest, TimeIsTheLatestUpdateNotTheClock) {
  MultiTable tables({Evicting("a", 1)});
  Assign(&tables.table(0), {1}, {1}, 7);
  Hands hands;
  const EvictionThread thread(&tables, std::make_unique<HandClock>(&hands));
  hands.AwaitSleep();
  hands.Advance(1000 * kDay);
  EXPECT_EQ(tables.table(0).size(), 1u);
}

TEST(EvictionThreadTest, NoTableNoThread) {
  MultiTable tables({Evicting("a", 0), Evicting("b", 0)});
  const EvictionThread thread(&tables);
  EXPECT_FALSE(thread.running());
}

TEST(EvictionThreadTest, EndsAtOnce) {
  MultiTable tables({Evicting("a", 240)});
  for (int i = 0; i < 100; ++i) {
    const EvictionThread thread(&tables);  // would sleep for ten days
    EXPECT_TRUE(thread.running());
  }
}

TEST(EvictionThreadTest, TheSystemsClockWakesAtADeadline) {
  const auto clock = NewSystemEvictionClock();
  EXPECT_TRUE(clock->SleepUntil(clock->Now()));
  clock->Stop();
  EXPECT_FALSE(clock->SleepUntil(clock->Now() + 1000 * kHour));
}

TEST(EvictionThreadTest, HoursBelowOneAreRefused) {
  MultiTable tables({Evicting("a", 3), Evicting("b", -2)});
  try {
    const EvictionThread thread(&tables);
    FAIL();
  } catch (const TableError& error) {
    EXPECT_THAT(error.what(), HasSubstr("table 'b': feature_evict_every_n_hours is -2; it must be at least 1"));
  }
}

}  // namespace
}  // namespace monolith
