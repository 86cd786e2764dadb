// SPDX-License-Identifier: Apache-2.0
// Keys are written in groups; what the groups are shows nowhere.
#include "cc/hash_table/entry_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <stdexcept>

#include "tests/cc/hash_table/table_test_util.h"
#include "tests/cc/hash_table/thread_test_util.h"

namespace monolith {
namespace {

using namespace testing;  // NOLINT: the fixtures of this suite
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;

TEST(EntryWriterTest, OccurrencesOfAFidAreSerialWhereverTheyFall) {
  // Repeats next to each other, a group apart and further, of fids that are there and that are not.
  std::mt19937 random(3);
  for (const int distinct : {1, 2, 5, 40}) {
    auto table = NewEmbeddingTable(MakeConfig({MakeSlice(2)}));
    Assign(table.get(), {0}, {10, 10});
    std::vector<int64_t> fids(500);
    std::vector<float> rows, sums(distinct);
    sums[0] = 10;
    for (size_t i = 0; i < fids.size(); ++i) {
      fids[i] = random() % distinct;
      sums[fids[i]] += static_cast<float>(i);
      rows.insert(rows.end(), 2, static_cast<float>(i));
    }
    AssignAdd(table.get(), fids, rows);
    for (int fid = 0; fid < distinct; ++fid) EXPECT_THAT(Lookup(*table, {fid}), Each(sums[fid]));
    Assign(table.get(), fids, rows);
    for (int fid = 0; fid < distinct; ++fid) {
      const auto last = std::find(fids.rbegin(), fids.rend(), fid);
      if (last == fids.rend()) continue;
      EXPECT_THAT(Lookup(*table, {fid}), Each(static_cast<float>(fids.rend() - last - 1)));
    }
  }
}

TEST(EntryWriterTest, OneCallFillsAnEmptyTableThroughManyGrowths) {
  constexpr int64_t kFids = Scaled(200'000);
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(1)}));
  std::vector<int64_t> fids(2 * kFids);
  std::vector<float> rows(2 * kFids, 1);
  for (int64_t i = 0; i < kFids; ++i) fids[i] = fids[2 * kFids - 1 - i] = i * 7919;
  AssignAdd(table.get(), fids, rows);
  EXPECT_EQ(table->size(), static_cast<uint64_t>(kFids));
  EXPECT_THAT(Lookup(*table, fids), Each(2));
}

class ThrowingFilter : public AdmissionFilter {
 public:
  explicit ThrowingFilter(int64_t refused) : refused_(refused) {}
  bool Admit(int64_t fid, int64_t) override {
    if (fid == refused_) throw std::runtime_error("refused");
    return true;
  }

 private:
  const int64_t refused_;
};

TEST(EntryWriterTest, WhatCameBeforeAnExceptionIsWrittenAndReadable) {
  for (int64_t refused = 0; refused < 40; ++refused) {
    auto table = NewEmbeddingTable(MakeConfig({MakeSlice(2)}));
    Assign(table.get(), {100, 101}, {5, 5, 6, 6});
    ThrowingFilter filter(refused);
    std::vector<int64_t> fids{100, 101};
    for (int64_t fid = 0; fid < 40; ++fid) fids.push_back(fid);
    const std::vector<float> rows(2 * fids.size(), 1);
    EXPECT_THROW(table->AssignAdd({fids.data(), 42, rows.data()}, 0, &filter), std::runtime_error);
    // A home that was left in a change would keep these lookups waiting for ever.
    EXPECT_THAT(Lookup(*table, {100, 101}), ElementsAre(6, 6, 7, 7));
    EXPECT_EQ(table->size(), static_cast<uint64_t>(refused + 2));
    for (int64_t fid = 0; fid < 40; ++fid) EXPECT_THAT(Lookup(*table, {fid}), Each(fid < refused ? 1 : 0));
    AssignAdd(table.get(), fids, rows);
    EXPECT_EQ(table->size(), 42u);
  }
}

// Readers meet new entries with what the first write made of them, or not at all.
TEST(EntryWriterTest, NoReaderSeesAnEntryBeforeItsFirstWrite) {
  SliceConfig slice = MakeSlice(4);
  slice.initializer.kind = InitializerConfig::Kind::kConstant;
  slice.initializer.constant = 3;
  auto table = NewEmbeddingTable(MakeConfig({slice}));
  constexpr int64_t kBatch = 1000, kBatches = Scaled(300);
  std::atomic<int64_t> begun{0};
  std::atomic<bool> stop{false};
  RunThreads(3, [&](int thread) {
    if (thread == 0) {
      const StopAtEnd stop_others(&stop);
      std::vector<int64_t> fids(kBatch);
      for (int64_t b = 0; b < kBatches; ++b) {
        begun.store(b);
        for (int64_t i = 0; i < kBatch; ++i) fids[i] = b * kBatch + i;
        AssignAdd(table.get(), fids, std::vector<float>(4 * kBatch, 1));
      }
      return;
    }
    std::vector<int64_t> fids(kBatch);
    while (!stop.load()) {
      const int64_t b = begun.load();
      for (int64_t i = 0; i < kBatch; ++i) fids[i] = b * kBatch + kBatch - 1 - i;
      EXPECT_THAT(Lookup(*table, fids), Each(AnyOf(0, 4)));
    }
  });
}

TEST(EntryWriterTest, EntriesOfErasedKeysAreUsedAgain) {
  TableConfig config = MakeConfig({MakeSlice(8)});
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  std::vector<int64_t> fids(1000);
  uint64_t first_bytes = 0;
  for (int64_t round = 0; round < 20; ++round) {
    for (size_t i = 0; i < fids.size(); ++i) fids[i] = round % 2 * 1'000'000 + static_cast<int64_t>(i);
    Assign(table.get(), fids, std::vector<float>(8 * fids.size(), static_cast<float>(round)), 86400 * (round + 1));
    table->Evict(config.expire);
    ASSERT_EQ(table->size(), fids.size());
    EXPECT_THAT(Lookup(*table, fids), Each(static_cast<float>(round)));
    if (round == 3) first_bytes = table->MemoryBytes();
  }
  EXPECT_LE(table->MemoryBytes(), first_bytes + first_bytes / 4);
}

}  // namespace
}  // namespace monolith
