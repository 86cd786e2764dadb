// SPDX-License-Identifier: Apache-2.0
// Training, saving, evicting, restoring and growing at once. Every fid has an owner, so the answers are exact; also run
// under ThreadSanitizer and AddressSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <numeric>
#include <random>
#include <thread>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/optimizer.h"
#include "tests/cc/hash_table/table_test_util.h"
#include "tests/cc/hash_table/thread_test_util.h"

namespace monolith {
namespace {

using namespace testing;  // NOLINT: the fixtures of this suite

using Row = std::vector<float>;
constexpr int64_t kDay = 86400;
constexpr int kWriters = 3;

// Sgd counts steps in column 0; adagrad's sum counts them as well, and its two weights are a function of that sum.
TableConfig CountingConfig() {
  SliceConfig adagrad = MakeSlice(2, "adagrad");
  adagrad.optimizer.initial_accumulator_value = 0;
  return MakeConfig({MakeSlice(1), adagrad});
}

const Row kOneStep = {-1, -1, -1};
const Row kRates = {1, 1};

// The adagrad weight after every number of steps.
const Row& WeightAfter() {
  static const Row* const weights = [] {
    auto* row = new Row{0};
    float weight = 0, sum = 0;
    const float gradient = -1;
    const auto adagrad = NewOptimizer(CountingConfig().slices[1].optimizer, 1);
    for (int step = 0; step < 100000; ++step) {
      adagrad->Step(&weight, &sum, &gradient, {1, 0});
      row->push_back(weight);
    }
    return row;
  }();
  return *weights;
}

// The steps that an entry has seen; fails if its parts do not agree about them.
int StepsOf(const std::string& bytes) {
  EntryDump dump;
  EXPECT_TRUE(ParseEntryDump(bytes, &dump));
  const auto steps = static_cast<size_t>(dump.values.at(0));
  EXPECT_EQ(dump.values[1], WeightAfter().at(steps)) << "weights of two moments";
  EXPECT_EQ(dump.values[2], WeightAfter()[steps]);
  float sums[2] = {-1, -1};
  const auto adagrad = NewOptimizer(CountingConfig().slices[1].optimizer, 2);
  EXPECT_TRUE(RestoreState(dump.optimizer_states.at(1), *adagrad->schema(), 8, reinterpret_cast<char*>(sums)));
  EXPECT_EQ(sums[0], static_cast<float>(steps)) << "state and weights of two moments";
  EXPECT_EQ(sums[1], static_cast<float>(steps));
  return static_cast<int>(steps);
}

void TakeStep(EmbeddingTable* table, int64_t fid, int64_t update_ts = 0) {
  Optimize(table, {fid}, kOneStep, kRates, update_ts);
}

TEST(ConcurrentTrainingTest, WritersReadersSavesEvictionAndGrowthGiveTheExactAnswer) {
  TableConfig config = CountingConfig();
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  Assign(table.get(), {-1}, {0, 0, 0}, 5 * kDay);  // what is written at time 0 has expired, at 5 days it has not
  std::map<int64_t, int> steps[kWriters];
  std::atomic<int> writing{kWriters};
  std::atomic<uint64_t> evicted{0}, doomed{0};
  RunThreads(kWriters + 3, [&](int thread) {
    if (thread < kWriters) {
      std::mt19937 random(thread);
      for (int i = 0; i < Scaled(20000); ++i) {
        // Fids of other writers lie in the same buckets; few of them often, many of them once.
        const int64_t any = random() % 4 == 0 ? static_cast<int64_t>(random()) : static_cast<int64_t>(random() % 100);
        const int64_t fid = any * kWriters + thread;
        TakeStep(table.get(), fid, 5 * kDay);
        ++steps[thread][fid];
        if (i % 3 != 0) continue;
        Assign(table.get(), {-2 - fid - (int64_t{i} << 40)}, {0, 0, 0}, 0);  // never seen again
        ++doomed;
      }
      --writing;
    } else if (thread == kWriters) {
      while (writing.load() > 0) evicted += table->Evict(config.expire);
    } else if (thread == kWriters + 1) {
      while (writing.load() > 0) {
        for (const std::string& entry : Dump(table.get())) StepsOf(entry);
      }
    } else {
      while (writing.load() > 0) {
        for (int64_t fid = 0; fid < 300; ++fid) {
          const Row read = Lookup(*table, {fid});
          ASSERT_EQ(read[1], WeightAfter()[static_cast<size_t>(read[0])]) << "a torn read";
          const std::string entry = table->LookupEntry(fid);
          if (!entry.empty()) StepsOf(entry);
        }
      }
    }
  });
  evicted += table->Evict(config.expire);
  EXPECT_EQ(evicted.load(), doomed.load());
  uint64_t size = 1;
  for (const auto& own : steps) {
    size += own.size();
    for (const auto& [fid, count] : own) ASSERT_EQ(StepsOf(table->LookupEntry(fid)), count) << fid;
  }
  EXPECT_EQ(table->size(), size);
}

TEST(ConcurrentTrainingTest, ASaveBesideTrainingHoldsAConsistentEntryOfEveryKey) {
  auto table = NewEmbeddingTable(CountingConfig());
  const int64_t num_keys = 300;
  for (int64_t fid = 0; fid < num_keys; ++fid) TakeStep(table.get(), fid);
  std::atomic<bool> stop{false};
  RunThreads(kWriters + 1, [&](int thread) {
    if (thread < kWriters) {
      for (int64_t fid = thread; !stop.load(); fid = (fid + kWriters) % num_keys) TakeStep(table.get(), fid);
      return;
    }
    const StopAtEnd stop_others(&stop);
    std::map<int64_t, int> last;
    for (int save = 0; save < 30; ++save) {
      std::map<int64_t, int> now;
      table->Lock()->ForEach(0, 1, ExpireConfig(), [&now](int64_t fid, const std::string& entry) {
        EXPECT_TRUE(now.emplace(fid, StepsOf(entry)).second);
        return true;
      });
      EXPECT_EQ(now.size(), static_cast<size_t>(num_keys));
      for (const auto& [fid, steps] : last) EXPECT_GE(now[fid], steps) << "a later save went back";
      last = now;
    }
  });
}

TEST(ConcurrentTrainingTest, RestoresBesideTrainingLeaveEveryEntryWhole) {
  auto table = NewEmbeddingTable(CountingConfig());
  const int64_t num_keys = 200;
  for (int64_t fid = 0; fid < num_keys; ++fid) TakeStep(table.get(), fid);
  std::atomic<bool> stop{false};
  RunThreads(kWriters + 2, [&](int thread) {
    if (thread < kWriters) {
      for (int64_t fid = thread; !stop.load(); fid = (fid + kWriters) % num_keys) TakeStep(table.get(), fid);
    } else if (thread == kWriters) {
      while (!stop.load()) {
        for (int64_t fid = 0; fid < num_keys; ++fid) EXPECT_GE(StepsOf(table->LookupEntry(fid)), 1);
      }
    } else {
      const StopAtEnd stop_others(&stop);
      for (int round = 0; round < 200; ++round) Restore(table.get(), Dump(table.get()));
    }
  });
  EXPECT_EQ(table->size(), static_cast<uint64_t>(num_keys));
}

// Each fid is written once at a time that has expired, and then once at a time that has not. Eviction may come between
// the two or not, but it must never take the second write, and must count what it takes.
TEST(ConcurrentTrainingTest, EvictionBesideWritersTakesExactlyWhatHasExpired) {
  TableConfig config = MakeConfig({MakeSlice(1)});
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  Assign(table.get(), {-1}, {0}, 10 * kDay);
  const int64_t num_keys = Scaled(20000);
  std::atomic<int> writing{kWriters};
  std::atomic<uint64_t> evicted{0};
  RunThreads(kWriters + 2, [&](int thread) {
    if (thread >= kWriters) {
      while (writing.load() > 0) evicted += table->Evict(config.expire);
      return;
    }
    for (int64_t fid = thread; fid < num_keys; fid += kWriters) {
      AssignAdd(table.get(), {fid}, {1}, 8 * kDay);
      AssignAdd(table.get(), {fid}, {1}, 10 * kDay);
    }
    --writing;
  });
  std::vector<int64_t> fids(num_keys);
  std::iota(fids.begin(), fids.end(), 0);
  uint64_t began_anew = 0;
  for (const float value : Lookup(*table, fids)) {
    ASSERT_TRUE(value == 1 || value == 2) << value;
    began_anew += value == 1;
  }
  EXPECT_EQ(evicted.load(), began_anew);
  EXPECT_EQ(table->size(), static_cast<uint64_t>(num_keys) + 1);
}

}  // namespace
}  // namespace monolith
