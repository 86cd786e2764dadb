// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/batch_update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using namespace testing;  // NOLINT: the fixtures of this suite

// Admits everything and remembers what it was asked.
class CountingFilter : public AdmissionFilter {
 public:
  bool Admit(int64_t fid, int64_t occurrences) override {
    asked.emplace_back(fid, occurrences);
    return true;
  }
  std::vector<std::pair<int64_t, int64_t>> asked;
};

class BatchUpdateTest : public ::testing::Test {
 protected:
  // Fid 5 three times over two runs, fid 6 once.
  const std::vector<int64_t> first_ = {5, 6}, second_ = {5, 5};
  const std::vector<float> first_rows_ = {1, 8}, second_rows_ = {2, 4};
  const std::vector<RowRun> runs_ = {{first_.data(), 2, first_rows_.data()}, {second_.data(), 2, second_rows_.data()}};
  const float rate_ = 1;
  CountingFilter filter_;

  std::vector<float> Optimized(const std::string& optimizer, StepFor step_for, int num_parts) {
    TableConfig config = MakeConfig({DefaultSlice(1, optimizer)});
    auto table = NewEmbeddingTable(config);
    for (int part = 0; part < num_parts; ++part) {
      OptimizePart(table.get(), runs_, step_for, part, num_parts, {&rate_, 9, 1, &filter_});
    }
    return Lookup(*table, {5, 6});
  }
};

TEST_F(BatchUpdateTest, EveryOccurrenceOrEveryFid) {
  EXPECT_THAT(Optimized("sgd", StepFor::kEachOccurrence, 1), ElementsAre(-7, -8));
  EXPECT_THAT(Optimized("sgd", StepFor::kEachFid, 1), ElementsAre(-7, -8));
  EXPECT_NE(Optimized("adagrad", StepFor::kEachOccurrence, 1), Optimized("adagrad", StepFor::kEachFid, 1));
}

TEST_F(BatchUpdateTest, TheNumberOfPartsMakesNoDifference) {
  for (const StepFor step_for : {StepFor::kEachOccurrence, StepFor::kEachFid, StepFor::kEachFidCountRows}) {
    const std::vector<float> whole = Optimized("adagrad", step_for, 1);
    for (const int num_parts : {2, 3, 16}) EXPECT_EQ(Optimized("adagrad", step_for, num_parts), whole);
  }
}

TEST_F(BatchUpdateTest, TheFilterCountsAsItIsTold) {
  Optimized("sgd", StepFor::kEachFidCountRows, 1);
  EXPECT_THAT(filter_.asked, UnorderedElementsAre(Pair(5, 3), Pair(6, 1)));
  filter_.asked.clear();
  Optimized("sgd", StepFor::kEachFid, 1);
  EXPECT_THAT(filter_.asked, UnorderedElementsAre(Pair(5, 1), Pair(6, 1)));
}

TEST_F(BatchUpdateTest, WritesOfPartsAddUpToTheWhole) {
  for (const int num_parts : {1, 3}) {
    auto table = NewEmbeddingTable(MakeConfig({MakeSlice(2)}));
    const std::vector<int64_t> fids = {1, 2, 1};
    const std::vector<float> rows = {1, 2, 3, 4, 5, 6};
    const RowRun run{fids.data(), 3, rows.data()};
    for (int part = 0; part < num_parts; ++part)
      WritePart(table.get(), run, Write::kAssign, part, num_parts, 0, nullptr);
    EXPECT_THAT(Lookup(*table, {1, 2}), ElementsAre(5, 6, 3, 4));
    for (int part = 0; part < num_parts; ++part) {
      WritePart(table.get(), run, Write::kAssignAdd, part, num_parts, 0, nullptr);
    }
    EXPECT_THAT(Lookup(*table, {1, 2}), ElementsAre(11, 14, 6, 8));
  }
}

}  // namespace
}  // namespace monolith
