// SPDX-License-Identifier: Apache-2.0
// Behaviour of tables, written once and run over every kind of entry.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/gradient_sum.h"
#include "cc/hash_table/half.h"
#include "cc/hash_table/shard_files.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the fixtures of this suite

class AnyTableTest : public ::testing::TestWithParam<TableConfig::EntryType> {
 protected:
  std::unique_ptr<EmbeddingTable> New(int dim) {
    TableConfig config = MakeConfig({MakeSlice(dim)});
    config.entry_type = GetParam();
    return NewEmbeddingTable(config);
  }
};

TEST_P(AnyTableTest, AbsentFidReadsZerosAndIsNotInserted) {
  auto table = New(2);
  EXPECT_THAT(Lookup(*table, {5, -5}), ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(table->size(), 0u);
  EXPECT_EQ(table->LookupEntry(5), "");
}

TEST_P(AnyTableTest, AnyInt64IsAFid) {
  auto table = New(1);
  const std::vector<int64_t> fids = {0, -1, 1, std::numeric_limits<int64_t>::min(),
                                     std::numeric_limits<int64_t>::max()};
  Assign(table.get(), fids, {1, 2, 3, 4, 5});
  EXPECT_THAT(Lookup(*table, fids), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(table->size(), 5u);
}

TEST_P(AnyTableTest, AssignAddAddsAndLastAssignStays) {
  auto table = New(1);
  AssignAdd(table.get(), {-10}, {2.5f});
  AssignAdd(table.get(), {-10, -10}, {1, 0.5f});
  EXPECT_THAT(Lookup(*table, {-10}), ElementsAre(4));
  Assign(table.get(), {-10, -10}, {7, 8});
  EXPECT_THAT(Lookup(*table, {-10}), ElementsAre(8));
}

TEST_P(AnyTableTest, RandomOperationsAgreeWithAMap) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    auto table = New(3);
    std::map<int64_t, std::vector<float>> oracle;
    std::mt19937_64 random(seed);
    for (int round = 0; round < 300; ++round) {
      const uint64_t spread = seed % 2 == 0 ? 1 : 0x9e3779b97f4a7c15;
      const int64_t fid = static_cast<int64_t>(random() % 4000 * spread);
      const float x = static_cast<float>(random() % 100);
      switch (random() % 4) {
        case 0:
          Assign(table.get(), {fid}, {x, x, x});
          oracle[fid] = {x, x, x};
          break;
        case 1: {
          std::vector<int64_t> fids;
          std::vector<float> values;
          for (int i = 0; i < 50; ++i) {
            fids.push_back(fid + i);
            for (int d = 0; d < 3; ++d) values.push_back(x + d);
            auto& row = oracle[fid + i];
            row.resize(3);
            for (int d = 0; d < 3; ++d) row[d] += x + d;
          }
          AssignAdd(table.get(), fids, values);
          break;
        }
        case 2:
          table->Reinitialize(&fid, 1, 5, std::vector<int32_t>(1).data());
          oracle[fid] = {0, 0, 0};
          break;
        default: {
          auto copy = NewEmbeddingTable(table->config());
          Restore(copy.get(), Dump(table.get()));
          table = std::move(copy);
        }
      }
    }
    ASSERT_EQ(table->size(), oracle.size()) << "seed " << seed;
    for (const auto& [fid, row] : oracle) {
      const std::vector<float> got = Lookup(*table, {fid});
      ASSERT_EQ(got, row) << "seed " << seed << " fid " << fid;
    }
  }
}

TEST_P(AnyTableTest, GrowsAndLosesNothing) {
  auto table = New(2);
  std::vector<int64_t> fids;
  std::vector<float> values;
  for (int64_t i = 0; i < 200000; ++i) {
    fids.push_back(i * i - 7 * i);
    values.push_back(static_cast<float>(i));
    values.push_back(-static_cast<float>(i));
  }
  Assign(table.get(), fids, values);
  std::map<int64_t, std::pair<float, float>> last;
  for (size_t i = 0; i < fids.size(); ++i) last[fids[i]] = {values[2 * i], values[2 * i + 1]};
  EXPECT_EQ(table->size(), last.size());
  const std::vector<float> got = Lookup(*table, fids);
  for (size_t i = 0; i < fids.size(); ++i) {
    ASSERT_EQ(got[2 * i], last[fids[i]].first) << i;
    ASSERT_EQ(got[2 * i + 1], last[fids[i]].second) << i;
  }
}

TEST_P(AnyTableTest, EveryEntryLiesInOnePartOfASave) {
  auto table = New(1);
  std::vector<int64_t> fids(26000);
  for (size_t i = 0; i < fids.size(); ++i) fids[i] = static_cast<int64_t>(i) * 31;
  Assign(table.get(), fids, std::vector<float>(fids.size(), 1));
  std::set<int64_t> seen;
  for (int part = 0; part < 10; ++part) {
    for (const std::string& entry : Dump(table.get(), part, 10)) {
      EntryDump dump;
      ASSERT_TRUE(ParseEntryDump(entry, &dump));
      EXPECT_TRUE(seen.insert(dump.fid).second);
    }
  }
  EXPECT_EQ(seen.size(), fids.size());
}

TEST_P(AnyTableTest, RestoreKeepsTheFidsOfAShardAndReplacesTheRest) {
  auto table = New(1);
  Assign(table.get(), {-7, -1, 5, 6}, {1, 2, 3, 4});
  const auto entries = Dump(table.get());
  Assign(table.get(), {100}, {9});
  auto batch = table->StartRestore();
  batch->Add(entries, 0, 3);  // unsigned(-7) mod 3 = 0, unsigned(-1) mod 3 = 0, 5 mod 3 = 2, 6 mod 3 = 0
  EXPECT_EQ(table->size(), 5u) << "a batch that is not finished changes nothing";
  table->FinishRestore(std::move(batch));
  EXPECT_THAT(Lookup(*table, {-7, -1, 5, 6, 100}), ElementsAre(1, 2, 0, 4, 0));
}

TEST_P(AnyTableTest, OfAFidSavedTwiceTheNewerWins) {
  auto table = New(1);
  Assign(table.get(), {1}, {1}, 10);
  std::vector<std::string> entries = Dump(table.get());
  Assign(table.get(), {1}, {2}, 20);
  entries.push_back(Dump(table.get())[0]);
  for (int order = 0; order < 2; ++order) {
    Restore(table.get(), entries);
    EXPECT_THAT(Lookup(*table, {1}), ElementsAre(2));
    std::swap(entries[0], entries[1]);
  }
}

TEST_P(AnyTableTest, DamagedEntryIsRefused) {
  auto table = New(1);
  Assign(table.get(), {1}, {1});
  std::string entry = Dump(table.get())[0];
  auto batch = table->StartRestore();
  EXPECT_THROW(batch->Add({entry.substr(0, entry.size() - 1)}, 0, 1), TableError);
  EXPECT_THAT(Lookup(*table, {1}), ElementsAre(1));
}

TEST_P(AnyTableTest, LongerSavedEntryIsRefusedShorterKeepsInitialTail) {
  auto narrow = New(2), wide = New(3);
  Assign(narrow.get(), {1}, {1, 2});
  Assign(wide.get(), {1}, {1, 2, 3});
  EXPECT_THROW(Restore(narrow.get(), Dump(wide.get())), TableError);
  Restore(wide.get(), Dump(narrow.get()));
  EXPECT_THAT(Lookup(*wide, {1}), ElementsAre(1, 2, 0));
}

INSTANTIATE_TEST_SUITE_P(Entries, AnyTableTest,
                         ::testing::Values(TableConfig::EntryType::kTraining, TableConfig::EntryType::kServing));

TEST(TableTest, LookupEntryBytes) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(1)}));
  Assign(table.get(), {-10}, {1});
  EXPECT_EQ(table->LookupEntry(-10), std::string("\x15\x00\x00\x80\x3F\x1A\x04\x0A\x02\x12\x00\x20\x00", 13));
}

TEST(TableTest, EvictsWhatHasExpired) {
  TableConfig config = MakeConfig({MakeSlice(1)});
  config.expire.days_by_slot = {{0, 0}, {1, 5}, {2, 6}};
  config.expire.default_days = 14;
  auto table = NewEmbeddingTable(config);
  const std::vector<int64_t> fids = {int64_t{1} << 48, int64_t{2} << 48, int64_t{3} << 48};
  Assign(table.get(), fids, {1, 2, 3}, 1234);
  Assign(table.get(), {(int64_t{3} << 48) + 1}, {4}, 1234 + 5 * 86400 + 60);
  EXPECT_EQ(table->Evict(config.expire), 1u);
  EXPECT_THAT(Lookup(*table, fids), ElementsAre(0, 2, 3));
  EXPECT_EQ(table->size(), 3u);
}

TEST(TableTest, EvictedFidIsReinitialisedAndItsEntryReused) {
  TableConfig config = MakeConfig({MakeSlice(1, "sgd", 7)});
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  for (int round = 1; round <= 20; ++round) {
    std::vector<int64_t> fids(1000);
    for (int i = 0; i < 1000; ++i) fids[i] = i;
    AssignAdd(table.get(), fids, std::vector<float>(1000, 1), 86400 * 2 * round);
    EXPECT_THAT(Lookup(*table, {0, 999}), ElementsAre(8, 8)) << round;
    AssignAdd(table.get(), {-1}, {0}, 86400 * (2 * round + 1));
    EXPECT_EQ(table->Evict(config.expire), 1000u) << round;
    EXPECT_EQ(table->size(), 1u);
  }
  EXPECT_LT(table->MemoryBytes(), 100000u);
}

TEST(TableTest, SaveLeavesOutWhatHasExpired) {
  TableConfig config = MakeConfig({MakeSlice(1)});
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  const int64_t now = 10000000;
  Assign(table.get(), {1, 2}, {1, 1}, now - 86401);
  Assign(table.get(), {3}, {1}, now - 86399);
  Assign(table.get(), {4}, {1}, now);
  EXPECT_EQ(Dump(table.get()).size(), 2u);
  EXPECT_EQ(table->size(), 4u);
}

TEST(TableTest, SkipZeroDropsZeroVectors) {
  TableConfig config = ServingConfig({MakeSlice(1)});
  config.skip_zero_embedding = true;
  auto table = NewEmbeddingTable(config);
  std::vector<int64_t> fids(3000);
  std::vector<float> values(3000);
  for (int i = 0; i < 3000; ++i) {
    fids[i] = i;
    values[i] = static_cast<float>(i % 2);
  }
  Assign(table.get(), fids, values);
  EXPECT_EQ(table->size(), 1500u);
  Assign(table.get(), {1}, {0});
  EXPECT_EQ(table->size(), 1499u);
}

TEST(TableTest, ServingEntryCannotBeTrained) {
  auto table = NewEmbeddingTable(ServingConfig({MakeSlice(1)}));
  EXPECT_THROW(Optimize(table.get(), {1}, {1}, {1}), TableError);
  EXPECT_EQ(table->size(), 0u);
}

TEST(TableTest, ConfigErrorsNameTableAndSlice) {
  EXPECT_THROW(NewEmbeddingTable(MakeConfig({})), TableError);
  EXPECT_THROW(NewEmbeddingTable(MakeConfig({MakeSlice(0)})), TableError);
  SliceConfig unset = MakeSlice(1);
  unset.initializer.kind = InitializerConfig::Kind::kUnset;
  EXPECT_THROW(NewEmbeddingTable(MakeConfig({unset})), TableError);
  SliceConfig no_compressor = MakeSlice(1);
  no_compressor.compressor.name = "";
  EXPECT_NO_THROW(NewEmbeddingTable(MakeConfig({no_compressor})));
  EXPECT_THROW(NewEmbeddingTable(ServingConfig({no_compressor})), TableError);
}

TEST(TableTest, RandomValuesDependOnSeedSliceAndFidOnly) {
  SliceConfig slice = MakeSlice(500);
  slice.initializer.kind = InitializerConfig::Kind::kRandomUniform;
  slice.initializer.minval = -1;
  slice.initializer.maxval = 1;
  TableConfig config = MakeConfig({slice, slice});
  auto first = NewEmbeddingTable(config), second = NewEmbeddingTable(config);
  const std::vector<float> zeros(1000, 0);
  AssignAdd(first.get(), {1}, zeros);
  AssignAdd(first.get(), {2}, zeros);
  AssignAdd(second.get(), {2}, zeros);
  AssignAdd(second.get(), {1}, zeros);
  const std::vector<float> values = Lookup(*first, {1});
  EXPECT_EQ(values, Lookup(*second, {1}));
  EXPECT_NE(values, Lookup(*first, {2}));
  EXPECT_NE(std::vector<float>(values.begin(), values.begin() + 500),
            std::vector<float>(values.begin() + 500, values.end()));
  EXPECT_GT(*std::max_element(values.begin(), values.end()), 0.9f);
  EXPECT_LT(*std::min_element(values.begin(), values.end()), -0.9f);
  for (float v : values) EXPECT_TRUE(v >= -1 && v < 1);
  config.seed = 1;
  auto other = NewEmbeddingTable(config);
  AssignAdd(other.get(), {1}, zeros);
  EXPECT_NE(values, Lookup(*other, {1}));
}

TEST(GradientSumTest, SumsInOrderOfTheBatchInAnyNumberOfParts) {
  std::mt19937_64 random(3);
  const int dim = 3, n = 5000;
  std::vector<int64_t> fids(n);
  std::vector<float> gradients(n * dim);
  for (auto& fid : fids) fid = static_cast<int64_t>(random() % 700) - 350;
  for (auto& g : gradients) g = static_cast<float>(random() % 1000) / 7;
  std::map<int64_t, std::pair<int64_t, std::vector<float>>> expected;
  for (int i = 0; i < n; ++i) {
    auto& [count, sum] = expected[fids[i]];
    ++count;
    sum.resize(dim);
    for (int d = 0; d < dim; ++d) sum[d] += gradients[i * dim + d];
  }
  for (int parts : {1, 2, 7}) {
    size_t distinct = 0;
    for (int part = 0; part < parts; ++part) {
      const GradientSum sum(fids.data(), n, gradients.data(), dim, part, parts);
      for (size_t i = 0; i < sum.fids().size(); ++i, ++distinct) {
        const auto& [count, row] = expected.at(sum.fids()[i]);
        ASSERT_EQ(sum.occurrences()[i], count);
        for (int d = 0; d < dim; ++d) ASSERT_EQ(sum.gradients()[i][d], row[d]);
      }
    }
    EXPECT_EQ(distinct, expected.size());
  }
}

TEST(HalfTest, RoundsToNearestEvenAndComesBack) {
  EXPECT_NEAR(HalfToFloat(FloatToHalf(0.1f)), 0.09997559, 1e-8);
  EXPECT_NEAR(HalfToFloat(FloatToHalf(0.2f)), 0.19995117, 1e-8);
  EXPECT_EQ(HalfToFloat(FloatToHalf(10000)), 10000);
  EXPECT_EQ(HalfToFloat(FloatToHalf(1e6f)), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(std::nanf("")))));
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float value = HalfToFloat(static_cast<uint16_t>(h));
    if (std::isnan(value)) continue;
    ASSERT_EQ(FloatToHalf(value), h);
  }
}

TEST(ShardFilesTest, CompleteSetsOnly) {
  EXPECT_EQ(ShardFileName("a/b", 1, 4), "a/b-00001-of-00004");
  EXPECT_THAT(CompleteShardSet("a/b", {"a/b-00000-of-00001"}), ElementsAre("a/b-00000-of-00001"));
  EXPECT_THAT(CompleteShardSet("a/b", {"a/b-00001-of-00002", "a/b-00000-of-00002-tmp-1234", "a/b-00000-of-00002"}),
              ElementsAre("a/b-00000-of-00002", "a/b-00001-of-00002"));
  EXPECT_THAT(CompleteShardSet("a/b", {"a/b-00000-of-00001", "a/b-00000-of-00003-tmp-1234", "a/bc-00000-of-00009"}),
              ElementsAre("a/b-00000-of-00001"));
  EXPECT_THROW(CompleteShardSet("a/b", {"a/b-00000-of-00002"}), TableError);
  EXPECT_THROW(CompleteShardSet("a/b", {"a/b-00001-of-00001"}), TableError);
  EXPECT_THROW(CompleteShardSet("a/b", {"a/b-00000-of-00001", "a/b-00000-of-00002"}), TableError);
  EXPECT_THROW(CompleteShardSet("a/b", {"a/b-random-string"}), TableError);
  EXPECT_THROW(CompleteShardSet("a/b", {}), TableError);
}

}  // namespace
}  // namespace monolith
