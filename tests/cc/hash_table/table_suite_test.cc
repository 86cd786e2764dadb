// SPDX-License-Identifier: Apache-2.0
// What every table promises, each behaviour stated once and run over every kind of table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/optimizer.h"
#include "tests/cc/hash_table/table_kinds.h"

namespace monolith {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::TestParamInfo;
using ::testing::UnorderedElementsAre;
using namespace testing;  // NOLINT: the fixtures of this suite

using Row = std::vector<float>;
constexpr int64_t kDay = 86400;

// Whole numbers that differ from fid to fid and from column to column, none of them 0.
Row RowOf(int64_t i) {
  Row row;
  for (int d = 0; d < kKindDim; ++d) row.push_back(static_cast<float>((i * 7 + d * 3) % 23) - 11.5f);
  return row;
}

Row Rows(const std::vector<int64_t>& of) {
  Row rows;
  for (const int64_t i : of) {
    const Row row = RowOf(i);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

std::vector<int64_t> Range(int64_t n, int64_t factor = 1) {
  std::vector<int64_t> fids(n);
  for (int64_t i = 0; i < n; ++i) fids[i] = i * factor;
  return fids;
}

struct Entry {
  int64_t fid;
  Row values;
  uint32_t update_ts;
};

Entry Parsed(const std::string& bytes) {
  EntryDump dump;
  EXPECT_TRUE(ParseEntryDump(bytes, &dump));
  return {dump.fid, dump.values, dump.update_ts};
}

class AnyTableTest : public ::testing::TestWithParam<TableKind> {
 protected:
  const TableKind& kind() const { return GetParam(); }
  std::unique_ptr<EmbeddingTable> New() const { return NewEmbeddingTable(kind().config); }

  // A table in which every fid of `fids` was assigned its row.
  std::unique_ptr<EmbeddingTable> Filled(const std::vector<int64_t>& fids, int64_t update_ts = 0) const {
    auto table = New();
    Assign(table.get(), fids, Rows(fids), update_ts);
    return table;
  }

  // What a lookup gives of a row that was assigned.
  Row Assigned(const Row& row) const { return kind().Read(kind().Stored(row)); }

  // What every fid starts with: the initial values of its slices, or zeros where entries are only served.
  Row FirstValues() const {
    Row first;
    for (const SliceConfig& slice : kind().config.slices) {
      first.insert(first.end(), slice.dim, kind().trains() ? slice.initializer.constant : 0);
    }
    return first;
  }
};

TEST_P(AnyTableTest, AbsentFidReadsZerosAndIsNotInserted) {
  auto table = Filled({1});
  EXPECT_THAT(Lookup(*table, {5, -5}), Each(0));
  EXPECT_EQ(table->LookupEntry(5), "");
  EXPECT_EQ(table->size(), 1u);
}

TEST_P(AnyTableTest, LookupCountsThePresentOnes) {
  auto table = Filled({1, 2});
  const int64_t fids[] = {2, 3, 1, 1};
  Row read(4 * kKindDim);
  EXPECT_EQ(table->Lookup(fids, 4, read.data()), 3);
  EXPECT_EQ(table->Lookup(fids, 0, nullptr), 0);
}

TEST_P(AnyTableTest, AnyInt64IsAFid) {
  const std::vector<int64_t> fids = {0,
                                     -1,
                                     1,
                                     std::numeric_limits<int64_t>::min(),
                                     std::numeric_limits<int64_t>::max(),
                                     int64_t{1} << 48,
                                     -(int64_t{1} << 48),
                                     static_cast<int64_t>(0x8000000000000001)};
  auto table = New();
  Assign(table.get(), fids, Rows(Range(8)));
  EXPECT_THAT(Lookup(*table, fids), ElementsAreArray(Assigned(Rows(Range(8)))));
  EXPECT_EQ(table->size(), fids.size());
}

TEST_P(AnyTableTest, OfSeveralAssignsTheLastStays) {
  auto table = New();
  Assign(table.get(), {-10, -10, 3}, Rows({1, 2, 3}));
  EXPECT_THAT(Lookup(*table, {-10, 3}), ElementsAreArray(Assigned(Rows({2, 3}))));
  Assign(table.get(), {-10}, RowOf(4));
  EXPECT_THAT(Lookup(*table, {-10}), ElementsAreArray(Assigned(RowOf(4))));
}

TEST_P(AnyTableTest, AssignAddAddsToWhatIsKept) {
  auto table = New();
  Row kept = FirstValues();
  for (int i = 0; i < 4; ++i) {
    AssignAdd(table.get(), {-10}, RowOf(i));
    const Row delta = RowOf(i);
    for (int d = 0; d < kKindDim; ++d) kept[d] += delta[d];
    kept = kind().Stored(kept);
    EXPECT_THAT(Lookup(*table, {-10}), ElementsAreArray(kind().Read(kept))) << i;
  }
}

TEST_P(AnyTableTest, EveryOccurrenceInABatchIsAdded) {
  auto once = New(), twice = New();
  AssignAdd(once.get(), {7, 7, 8, 7}, Rows({1, 2, 3, 4}));
  for (const int64_t i : {1, 2, 4}) AssignAdd(twice.get(), {7}, RowOf(i));
  EXPECT_EQ(Lookup(*once, {7}), Lookup(*twice, {7}));
}

TEST_P(AnyTableTest, ReinitializeGivesFirstValuesAndTellsWhatWasThere) {
  auto table = Filled({2, 3}, 50);
  const int64_t fids[] = {1, 2, 3};
  int32_t found[3];
  table->Reinitialize(fids, 3, 70, found);
  EXPECT_THAT(found, ElementsAre(0, 1, 1));
  EXPECT_EQ(table->size(), 3u);
  for (const int64_t fid : fids) {
    EXPECT_THAT(Lookup(*table, {fid}), ElementsAreArray(kind().Read(FirstValues())));
    EXPECT_EQ(Parsed(table->LookupEntry(fid)).update_ts, 70u);
  }
  EXPECT_EQ(table->max_update_ts(), 50);
}

TEST_P(AnyTableTest, EveryWriteSetsTheStampAndRaisesTheLatestTime) {
  auto table = Filled({1}, 100);
  EXPECT_EQ(table->max_update_ts(), 100);
  AssignAdd(table.get(), {1, 2}, Rows({1, 2}), 300);
  EXPECT_EQ(table->max_update_ts(), 300);
  Assign(table.get(), {1}, RowOf(1), 200);
  EXPECT_EQ(Parsed(table->LookupEntry(1)).update_ts, 200u) << "a stamp may also go back";
  EXPECT_EQ(Parsed(table->LookupEntry(2)).update_ts, 300u);
  EXPECT_EQ(table->max_update_ts(), 300);
}

TEST_P(AnyTableTest, StampsOutsideOf32BitsAreClamped) {
  auto table = Filled({1}, -5);
  EXPECT_EQ(Parsed(table->LookupEntry(1)).update_ts, 0u);
  EXPECT_EQ(table->max_update_ts(), 0);
  Assign(table.get(), {1}, RowOf(1), int64_t{1} << 40);
  EXPECT_EQ(Parsed(table->LookupEntry(1)).update_ts, std::numeric_limits<uint32_t>::max());
}

TEST_P(AnyTableTest, LookupEntryIsTheSavedEntryWithoutItsFid) {
  auto table = Filled({-10}, 9);
  const std::string saved = Dump(table.get()).at(0);
  EXPECT_EQ(saved.substr(0, 9), std::string("\x09\xF6\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 9));
  EXPECT_EQ(saved.substr(9), table->LookupEntry(-10));
  EXPECT_THAT(Parsed(saved).values, ElementsAreArray(kind().Stored(RowOf(-10))));
}

// The filter is asked about absent fids only, once for every time that they come, and what it refuses stays out.
class OddsOnly : public AdmissionFilter {
 public:
  bool Admit(int64_t fid, int64_t occurrences) override {
    asked.push_back(fid);
    EXPECT_EQ(occurrences, 1);
    return fid % 2 != 0;
  }
  std::vector<int64_t> asked;
};

TEST_P(AnyTableTest, TheFilterDecidesOverAbsentFids) {
  auto table = Filled({2});
  OddsOnly filter;
  const int64_t fids[] = {1, 2, 4, 4, 1};
  table->Assign({fids, 5, Rows(Range(5)).data()}, 0, &filter);
  EXPECT_THAT(filter.asked, UnorderedElementsAre(1, 4, 4));
  filter.asked.clear();
  const int64_t more[] = {3, 2, 6};
  table->AssignAdd({more, 3, Rows(Range(3)).data()}, 0, &filter);
  EXPECT_THAT(filter.asked, UnorderedElementsAre(3, 6));
  EXPECT_EQ(table->size(), 3u);
  EXPECT_THAT(Lookup(*table, {4, 6}), Each(0));
}

TEST_P(AnyTableTest, OptimizeTakesAStepOfEverySliceOrIsRefused) {
  auto table = Filled({7}, 5);
  const Row rates(table->num_slices(), 0.25f);
  if (!kind().trains()) {
    const std::string before = table->LookupEntry(7);
    EXPECT_THROW(Optimize(table.get(), {8, 7}, Rows({1, 2}), rates), TableError);
    EXPECT_EQ(table->LookupEntry(7), before);
    EXPECT_EQ(table->size(), 1u);
    return;
  }
  Row expected = RowOf(7);
  int at = 0;
  for (const SliceConfig& slice : kind().config.slices) {
    const auto optimizer = NewOptimizer(slice.optimizer, slice.dim);
    Row state(optimizer->state_bytes() / 4);
    optimizer->InitState(state.data());
    for (const int64_t i : {1, 2}) {
      const Row gradient = kind().PassedBack(expected, RowOf(i));
      optimizer->Step(&expected[at], state.data(), gradient.data() + at, {0.25f, 0});
    }
    at += slice.dim;
  }
  Optimize(table.get(), {7, 7}, Rows({1, 2}), rates, 66);
  EXPECT_THAT(Lookup(*table, {7}), ElementsAreArray(kind().Read(expected)));
  EXPECT_EQ(Parsed(table->LookupEntry(7)).update_ts, 66u);
  EXPECT_EQ(table->max_update_ts(), 66);
}

TEST_P(AnyTableTest, GrowsThroughManySizesAndLosesNothing) {
  auto table = New();
  const std::vector<int64_t> fids = Range(60000, 977);
  for (size_t done = 0; done < fids.size();) {
    const size_t next = std::min(fids.size(), done + done / 7 + 1);
    const std::vector<int64_t> more(fids.begin() + done, fids.begin() + next);
    Assign(table.get(), more, Rows(more));
    done = next;
    ASSERT_EQ(table->size(), done);
    const std::vector<int64_t> some = {fids[0], fids[done / 2], fids[done - 1]};
    ASSERT_EQ(Lookup(*table, some), Assigned(Rows(some)));
  }
  EXPECT_EQ(Lookup(*table, fids), Assigned(Rows(fids)));
}

TEST_P(AnyTableTest, InitialCapacityIsAHint) {
  TableConfig config = kind().config;
  config.initial_capacity = 10000;
  auto table = NewEmbeddingTable(config);
  EXPECT_EQ(table->size(), 0u);
  Assign(table.get(), Range(20000), Rows(Range(20000)));
  EXPECT_EQ(Lookup(*table, Range(20000)), Assigned(Rows(Range(20000))));
}

TEST_P(AnyTableTest, EvictsWhatHasExpired) {
  TableConfig config = kind().config;
  config.expire.days_by_slot = {{0, 0}, {1, 5}, {2, 6}};
  config.expire.default_days = 14;
  auto table = NewEmbeddingTable(config);
  const std::vector<int64_t> fids = {int64_t{1} << 48, int64_t{2} << 48, int64_t{3} << 48};
  Assign(table.get(), fids, Rows({1, 2, 3}), 1234);
  Assign(table.get(), {(int64_t{3} << 48) + 1}, RowOf(4), 1234 + 5 * kDay + 60);
  EXPECT_EQ(table->Evict(config.expire), 1u);
  EXPECT_THAT(Lookup(*table, {fids[0]}), Each(0));
  EXPECT_THAT(Lookup(*table, {fids[1], fids[2]}), ElementsAreArray(Assigned(Rows({2, 3}))));
  EXPECT_EQ(table->size(), 3u);
}

TEST_P(AnyTableTest, ExpiryIsAtTheFullDay) {
  ExpireConfig expire;
  expire.default_days = 1;
  auto table = Filled({1}, 1000);
  Assign(table.get(), {2}, RowOf(2), 1000 + kDay - 1);
  EXPECT_EQ(table->Evict(expire), 0u);
  Assign(table.get(), {2}, RowOf(2), 1000 + kDay);
  EXPECT_EQ(table->Evict(expire), 1u);
  expire.default_days = 0;
  EXPECT_EQ(table->Evict(expire), 1u) << "0 days expire at once";
  EXPECT_EQ(table->size(), 0u);
}

TEST_P(AnyTableTest, ErasedSpaceIsUsedAgainAndStartsAnew) {
  TableConfig config = kind().config;
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  const std::vector<int64_t> fids = Range(1000);
  uint64_t memory = 0;
  for (int64_t round = 1; round <= 20; ++round) {
    AssignAdd(table.get(), fids, Rows(fids), kDay * 2 * round);
    Row kept = FirstValues();
    for (int d = 0; d < kKindDim; ++d) kept[d] += RowOf(999)[d];
    EXPECT_THAT(Lookup(*table, {999}), ElementsAreArray(Assigned(kept))) << round;
    AssignAdd(table.get(), {-1}, RowOf(-1), kDay * (2 * round + 1));
    EXPECT_EQ(table->Evict(config.expire), 1000u) << round;
    EXPECT_EQ(table->size(), 1u);
    if (round == 1) memory = table->MemoryBytes();
  }
  EXPECT_LT(table->MemoryBytes(), 2 * memory);
}

TEST_P(AnyTableTest, EveryEntryLiesInOnePartOfASave) {
  const std::vector<int64_t> fids = Range(26000, 31);
  auto table = Filled(fids);
  for (const int parts : {1, 2, 10, 777}) {
    std::set<int64_t> seen;
    for (int part = 0; part < parts; ++part) {
      for (const std::string& bytes : Dump(table.get(), part, parts)) {
        EXPECT_TRUE(seen.insert(Parsed(bytes).fid).second);
      }
    }
    EXPECT_EQ(seen.size(), fids.size()) << parts;
  }
}

TEST_P(AnyTableTest, AVisitorThatReturnsFalseEndsTheWalk) {
  auto table = Filled(Range(100));
  int calls = 0;
  table->Lock()->ForEach(0, 1, ExpireConfig(), [&calls](int64_t, const std::string&) {
    ++calls;
    return false;
  });
  EXPECT_EQ(calls, 1);
}

TEST_P(AnyTableTest, SaveLeavesOutWhatHasExpiredButKeepsItInMemory) {
  TableConfig config = kind().config;
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  constexpr int64_t kNow = 10000000;
  Assign(table.get(), {1, 2}, Rows({1, 2}), kNow - kDay - 1);
  Assign(table.get(), {3}, RowOf(3), kNow - kDay + 1);
  Assign(table.get(), {4}, RowOf(4), kNow);
  EXPECT_EQ(Dump(table.get()).size(), 2u);
  EXPECT_EQ(table->size(), 4u);
  EXPECT_THAT(Lookup(*table, {1}), ElementsAreArray(Assigned(RowOf(1))));
}

TEST_P(AnyTableTest, ARestoredTableIsTheSavedOne) {
  const std::vector<int64_t> fids = Range(3000, -7919);
  auto table = Filled(fids, 77), copy = New();
  Restore(copy.get(), Dump(table.get()));
  EXPECT_EQ(copy->size(), table->size());
  EXPECT_EQ(copy->max_update_ts(), 77);
  for (const int64_t fid : fids) ASSERT_EQ(copy->LookupEntry(fid), table->LookupEntry(fid)) << fid;
}

TEST_P(AnyTableTest, RestoreKeepsTheFidsOfAShardAndReplacesTheRest) {
  auto table = Filled({-7, -1, 5, 6}, 40);
  const auto entries = Dump(table.get());
  Assign(table.get(), {100}, RowOf(9), 30);
  auto batch = table->StartRestore();
  batch->Add(entries, 0, 3);  // unsigned(-7) mod 3 = 0, unsigned(-1) mod 3 = 0, 5 mod 3 = 2, 6 mod 3 = 0
  EXPECT_EQ(table->size(), 5u) << "a batch that is not finished changes nothing";
  table->FinishRestore(std::move(batch));
  EXPECT_THAT(Lookup(*table, {-7, -1, 6}), ElementsAreArray(Assigned(Rows({-7, -1, 6}))));
  EXPECT_THAT(Lookup(*table, {5, 100}), Each(0));
  EXPECT_EQ(table->size(), 3u);
}

TEST_P(AnyTableTest, ABatchThatIsDroppedChangesNothing) {
  auto table = Filled({1}), other = Filled(Range(500), 99);
  auto batch = table->StartRestore();
  batch->Add(Dump(other.get()), 0, 1);
  batch.reset();
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(table->max_update_ts(), 0);
  EXPECT_THAT(Lookup(*table, {1}), ElementsAreArray(Assigned(RowOf(1))));
}

TEST_P(AnyTableTest, OfAFidSavedTwiceTheNewerWins) {
  auto table = Filled({1}, 10);
  std::vector<std::string> entries = Dump(table.get());
  Assign(table.get(), {1}, RowOf(2), 20);
  entries.push_back(Dump(table.get())[0]);
  for (int order = 0; order < 2; ++order) {
    Restore(table.get(), entries);
    EXPECT_THAT(Lookup(*table, {1}), ElementsAreArray(Assigned(RowOf(2))));
    EXPECT_EQ(Parsed(table->LookupEntry(1)).update_ts, 20u);
    std::swap(entries[0], entries[1]);
  }
}

TEST_P(AnyTableTest, EveryCutOfAnEntryThatBreaksAFieldIsRefused) {
  auto table = Filled({1}, 1000);
  const std::string entry = Dump(table.get())[0];
  int refused = 0;
  for (size_t size = 0; size < entry.size(); ++size) {
    const std::string cut = entry.substr(0, size);
    EntryDump dump;
    if (ParseEntryDump(cut, &dump)) continue;  // the cut lies between two fields
    ++refused;
    try {
      table->StartRestore()->Add({cut}, 0, 1);
      ADD_FAILURE() << size;
    } catch (const TableError& error) {
      EXPECT_THAT(error.what(), HasSubstr("table 'table': a saved entry of " + std::to_string(size) +
                                          " bytes is damaged; restore from another checkpoint"));
    }
  }
  EXPECT_GT(refused, 20);
  EXPECT_EQ(table->LookupEntry(1), entry.substr(9));
}

TEST_P(AnyTableTest, LongerSavedEntryIsRefusedShorterKeepsFirstValuesInTheTail) {
  TableConfig wide_config = kind().config;
  wide_config.slices.push_back(wide_config.slices.back());
  wide_config.slices.back().dim = 1;
  auto narrow = Filled({1}), wide = NewEmbeddingTable(wide_config);
  Row six = RowOf(2);
  six.push_back(9);
  Assign(wide.get(), {1}, six);
  EXPECT_THROW(Restore(narrow.get(), Dump(wide.get())), TableError);
  EXPECT_THAT(Lookup(*narrow, {1}), ElementsAreArray(Assigned(RowOf(1))));
  Restore(wide.get(), Dump(narrow.get()));
  const Row read = Lookup(*wide, {1});
  EXPECT_THAT(Row(read.begin(), read.end() - 1), ElementsAreArray(Assigned(RowOf(1))));
  // A served tail is encoded like every other value, so a one_bit table has no 0.
  const float first = wide_config.slices.back().initializer.constant;
  EXPECT_EQ(read.back(), kind().trains() ? kind().read(kKindDim, first) : kind().stored(0, 0));
}

TEST_P(AnyTableTest, ZeroVectorsAreKeptUnlessTheTableSkipsThem) {
  const bool skips = kind().config.skip_zero_embedding;
  auto table = New();
  const std::vector<int64_t> fids = Range(3000);
  Row rows = Rows(fids);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] *= static_cast<float>(i / kKindDim % 2);
  Assign(table.get(), fids, rows);
  EXPECT_EQ(table->size(), skips ? 1500u : 3000u);
  Assign(table.get(), {1}, Row(kKindDim, 0));
  EXPECT_EQ(table->size(), skips ? 1499u : 3000u);
  AssignAdd(table.get(), {2}, Row(kKindDim, 0));
  EXPECT_EQ(table->size(), skips ? 1500u : 3000u) << "assign_add does not look";
  Restore(table.get(), Dump(table.get()));
  EXPECT_EQ(table->size(), skips ? 1499u : 3000u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, AnyTableTest, ::testing::ValuesIn(AllTableKinds()),
                         [](const TestParamInfo<TableKind>& info) { return info.param.name; });

}  // namespace
}  // namespace monolith
