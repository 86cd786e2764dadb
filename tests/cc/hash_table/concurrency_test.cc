// SPDX-License-Identifier: Apache-2.0
// Everything at once from many threads, with exact answers; also run under ThreadSanitizer and AddressSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cc/hash_table/entry_dump.h"
#include "tests/cc/hash_table/table_test_util.h"
#include "tests/cc/hash_table/thread_test_util.h"

namespace monolith {
namespace {

using namespace testing;  // NOLINT: the fixtures of this suite

constexpr int kDim = 6;
constexpr int64_t kFids = Scaled(40000);

// All coordinates of an entry are equal at any moment; a read that mixes two moments shows two values.
void ExpectWhole(const std::vector<float>& values) {
  for (size_t i = 0; i < values.size(); i += kDim) {
    for (int d = 1; d < kDim; ++d) ASSERT_EQ(values[i], values[i + d]) << "a torn read";
  }
}

TEST(ConcurrencyTest, EveryUpdateCountsWhileTheTableGrowsAndIsRead) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(kDim)}));
  std::atomic<int> writers{4};
  RunThreads(6, [&](int thread) {
    if (thread >= 4) {
      while (writers.load() > 0) {
        std::vector<int64_t> fids;
        for (int64_t i = thread; i < kFids; i += 37) fids.push_back(i);
        ExpectWhole(Lookup(*table, fids));
      }
      return;
    }
    for (int64_t i = 0; i < kFids; ++i) {
      const int64_t fid = (i + thread * kFids / 4) % kFids;
      if (thread % 2 == 0) {
        AssignAdd(table.get(), {fid}, std::vector<float>(kDim, static_cast<float>(fid % 100)));
      } else {
        Optimize(table.get(), {fid}, std::vector<float>(kDim, -static_cast<float>(fid % 100)), {2});
      }
    }
    --writers;
  });
  EXPECT_EQ(table->size(), static_cast<uint64_t>(kFids));
  for (int64_t fid = 0; fid < kFids; ++fid) {
    const std::vector<float> values = Lookup(*table, {fid});
    for (float v : values) ASSERT_EQ(v, 6 * static_cast<float>(fid % 100)) << fid;
  }
}

// Entries so wide that a reader is very likely to meet a writer in the middle of one.
TEST(ConcurrencyTest, WideEntriesAreNeverReadHalfWritten) {
  constexpr int kWide = Scaled(4000);
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(kWide)}));
  const std::vector<float> ones(kWide, 1);
  AssignAdd(table.get(), {7}, ones);
  std::atomic<bool> stop{false};
  RunThreads(3, [&](int thread) {
    if (thread > 0) {
      while (!stop.load()) AssignAdd(table.get(), {7}, ones);
      return;
    }
    const StopAtEnd stop_others(&stop);
    float last = 0;
    for (int64_t i = 0; i < Scaled(10000); ++i) {
      const std::vector<float> read = Lookup(*table, {7});
      ASSERT_EQ(read, std::vector<float>(kWide, read[0])) << "a torn read";
      ASSERT_GE(read[0], last) << "a read went back in time";
      last = read[0];
    }
  });
}

TEST(ConcurrencyTest, SaveSeesOneCutWhileWritersWait) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(kDim)}));
  constexpr int64_t kKeys = 500;
  std::vector<int64_t> fids(kKeys);
  for (int64_t i = 0; i < kKeys; ++i) fids[i] = i * 977;
  std::atomic<bool> stop{false};
  RunThreads(3, [&](int thread) {
    if (thread > 0) {
      // Each batch adds 1 to every key: between batches of both writers all keys are equal.
      while (!stop.load()) AssignAdd(table.get(), fids, std::vector<float>(kKeys * kDim, 1));
      return;
    }
    const StopAtEnd stop_others(&stop);
    for (int save = 0; save < 20; ++save) {
      float first = -1;
      for (const std::string& entry : Dump(table.get())) {
        EntryDump dump;
        ASSERT_TRUE(ParseEntryDump(entry, &dump));
        if (first < 0) first = dump.values[0];
        for (float v : dump.values) ASSERT_EQ(v, first) << "a save that mixes two moments";
      }
    }
  });
}

// What expires is decided by the latest time of the cut: a write that waits for the save belongs to later ones.
TEST(ConcurrencyTest, AWriterThatWaitsForASaveMakesNothingOfItExpire) {
  constexpr int64_t kDay = 86400;
  TableConfig config = MakeConfig({MakeSlice(1)});
  config.expire.default_days = 1;
  const auto optimize = [](EmbeddingTable* table, int64_t fid, int64_t time) {
    Optimize(table, {fid}, {1}, {1}, time);
  };
  const auto assign = [](EmbeddingTable* table, int64_t fid, int64_t time) { Assign(table, {fid}, {1}, time); };
  const auto add = [](EmbeddingTable* table, int64_t fid, int64_t time) { AssignAdd(table, {fid}, {1}, time); };
  for (void (*write)(EmbeddingTable*, int64_t, int64_t) : {+optimize, +assign, +add}) {
    auto table = NewEmbeddingTable(config);
    write(table.get(), 1, 100);
    write(table.get(), 2, 100);
    auto locked = table->Lock();
    std::atomic<bool> begun{false};
    std::thread writer([&] {
      begun = true;
      write(table.get(), 3, 100 + kDay);
    });
    for (int turns = 0; turns < 1000 || !begun; ++turns) std::this_thread::yield();  // it has come to the gate, or may
    EXPECT_EQ(table->max_update_ts(), 100);
    int saved = 0;
    locked->ForEach(0, 1, config.expire, [&saved](int64_t, const std::string&) { return ++saved; });
    EXPECT_EQ(saved, 2);
    locked.reset();
    writer.join();
    EXPECT_EQ(table->max_update_ts(), 100 + kDay);
    EXPECT_EQ(Dump(table.get()).size(), 1u);
  }
}

TEST(ConcurrencyTest, EvictionRestoreAndReinitialiseBesideReadersAndWriters) {
  TableConfig config = MakeConfig({MakeSlice(kDim)});
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  std::atomic<int> writers{2};
  RunThreads(5, [&](int thread) {
    if (thread < 2) {
      // Thread t owns the fids of parity t; stamps move on, so that old ones expire.
      for (int64_t round = 0; round < 20; ++round) {
        for (int64_t i = thread; i < kFids / 10; i += 2) {
          Assign(table.get(), {i}, std::vector<float>(kDim, static_cast<float>(round)), 86400 * (round + 1));
        }
      }
      --writers;
    } else if (thread == 2) {
      while (writers.load() > 0) table->Evict(config.expire);
    } else if (thread == 3) {
      while (writers.load() > 0) {
        auto batch = table->StartRestore();
        batch->Add(Dump(table.get()), 0, 1);
        batch.reset();  // dropped: the table stays as it is
        std::vector<int32_t> found(1);
        const int64_t fid = -5;
        table->Reinitialize(&fid, 1, 0, found.data());
      }
    } else {
      while (writers.load() > 0) {
        std::vector<int64_t> fids;
        for (int64_t i = 0; i < kFids / 10; i += 3) fids.push_back(i);
        ExpectWhole(Lookup(*table, fids));
      }
    }
  });
  const auto is_last = [&](int64_t fid) { return Lookup(*table, {fid})[0] == 19; };
  for (int64_t fid = 0; fid < kFids / 10; ++fid) ASSERT_TRUE(is_last(fid)) << fid;
}

TEST(ConcurrencyTest, ReadersSeeOldOrNewTableDuringARestore) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(kDim)}));
  std::vector<int64_t> fids(2000);
  for (size_t i = 0; i < fids.size(); ++i) fids[i] = static_cast<int64_t>(i);
  Assign(table.get(), fids, std::vector<float>(fids.size() * kDim, 1));
  const auto entries = Dump(table.get());
  std::atomic<bool> stop{false};
  RunThreads(3, [&](int thread) {
    if (thread > 0) {
      while (!stop.load()) {
        for (float v : Lookup(*table, fids)) ASSERT_EQ(v, 1);
      }
      return;
    }
    const StopAtEnd stop_others(&stop);
    for (int i = 0; i < 20; ++i) Restore(table.get(), entries);
  });
  EXPECT_EQ(table->size(), fids.size());
}

}  // namespace
}  // namespace monolith
