// SPDX-License-Identifier: Apache-2.0
// Combining against a loop over rows that looks every fid up by itself, and its gradients against a map of sums.
#include "cc/hash_table/combine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "tests/cc/hash_table/combine_test_util.h"

namespace monolith {
namespace {

using ::monolith::testing::Assign;
using ::monolith::testing::Expected;
using ::monolith::testing::FillTables;
using ::monolith::testing::Lookup;
using ::monolith::testing::MakeConfig;
using ::monolith::testing::MakeOutputs;
using ::monolith::testing::MakeSlice;
using ::monolith::testing::MixedPlan;
using ::monolith::testing::Pointers;
using ::monolith::testing::RandomGradients;
using ::monolith::testing::RandomRows;
using ::monolith::testing::Rows;
using ::monolith::testing::Sums;
using ::monolith::testing::TwoTables;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(CombineTest, AgreesWithALoopOverRows) {
  std::mt19937_64 random(1);
  const CombinePlan plan = MixedPlan();
  MultiTable tables(TwoTables());
  FillTables(&tables, &random);
  plan.CheckTables(tables);
  for (const int64_t batch : {0, 1, 7, 300}) {
    for (const int64_t longest : {0, 1, 5, 700}) {
      if (longest == 700 && batch > 7) continue;
      std::vector<Rows> rows;
      for (int f = 0; f < plan.num_features(); ++f) rows.push_back(RandomRows(batch, longest, 700, &random));
      std::vector<FeatureIds> ids;
      for (const Rows& r : rows) ids.push_back(r.Ids());
      auto outputs = MakeOutputs(plan, batch, -99);
      const auto pointers = Pointers(&outputs);
      for (int f = 0; f < plan.num_features(); ++f) {
        const EmbeddingTable& table = tables.table(plan.use(f).feature.table);
        CombineRows(plan, f, table, ids[f], 0, batch / 3, pointers.data());
        CombineRows(plan, f, table, ids[f], batch / 3, batch, pointers.data());
      }
      ASSERT_EQ(outputs, Expected(plan, tables, ids, batch)) << batch << " rows of up to " << longest;
    }
  }
}

TEST(CombineTest, DenseRowsAreLikeRaggedOnesOfEqualLength) {
  std::mt19937_64 random(2);
  const CombinePlan plan = MixedPlan();
  MultiTable tables(TwoTables());
  FillTables(&tables, &random);
  const int64_t batch = 600;
  for (const int64_t per_row : {1, 2, 3}) {
    Rows rows;
    for (int64_t i = 0; i < batch; ++i) {
      for (int64_t k = 0; k < per_row; ++k) rows.fids.push_back(random() % 700);
      rows.splits.push_back(rows.fids.size());
    }
    std::vector<std::vector<float>> outputs[2];
    for (const bool dense : {false, true}) {
      outputs[dense] = MakeOutputs(plan, batch, -99);
      for (int f = 0; f < plan.num_features(); ++f) {
        CombineRows(plan, f, tables.table(plan.use(f).feature.table), dense ? rows.Dense(per_row) : rows.Ids(), 0,
                    batch, Pointers(&outputs[dense]).data());
      }
    }
    ASSERT_EQ(outputs[0], outputs[1]);
    ASSERT_EQ(outputs[0], Expected(plan, tables, std::vector<FeatureIds>(plan.num_features(), rows.Ids()), batch));
  }
}

TEST(CombineTest, MeanOfAnEmptyRowIsZero) {
  MultiTable tables({MakeConfig({MakeSlice(1)})});
  Assign(&tables.table(0), {1, 2}, {3, 5});
  const CombinePlan plan({{0, Combiner::kMean, 0}}, {{0, 0, 1, 0, 0}}, {{1, 0}});
  Rows rows{{1, 2, 2}, {0, 0, 2, 2, 3}};
  std::vector<float> output(4, -99);
  float* pointer = output.data();
  CombineRows(plan, 0, tables.table(0), rows.Ids(), 0, 4, &pointer);
  EXPECT_THAT(output, ElementsAre(0, 4, 0, 5));
}

TEST(CombineTest, CountsWhatIsLookedUpAndWhatOfItIsThere) {
  MultiTable tables({MakeConfig({MakeSlice(1)})});
  Assign(&tables.table(0), {1, 2}, {3, 5});
  const Rows rows{{1, 2, 2, 9, 1, 9}, {0, 2, 2, 5, 6}}, one_each{{9, 1, 9}, {0, 1, 2, 3}};
  std::vector<float> output(8);
  float* pointer = output.data();
  const auto counts = [&](Combiner combiner, int length, const Rows& of) {
    const CombinePlan plan({{0, combiner, length}}, {{0, 0, 1, 0, 0}}, {{1, length}});
    const LookupCounts found =
        CombineRows(plan, 0, tables.table(0), of.Ids(), 0, static_cast<int64_t>(of.splits.size()) - 1, &pointer);
    return std::vector<int64_t>{found.fids, found.present};
  };
  EXPECT_THAT(counts(Combiner::kSum, 0, rows), ElementsAre(6, 4));
  EXPECT_THAT(counts(Combiner::kMean, 0, rows), ElementsAre(6, 4));
  EXPECT_THAT(counts(Combiner::kFirstN, 2, rows), ElementsAre(5, 3)) << "one fid has no position";
  EXPECT_THAT(counts(Combiner::kSum, 0, one_each), ElementsAre(3, 1));
  EXPECT_THAT(counts(Combiner::kSum, 0, Rows{{}, {0}}), ElementsAre(0, 0));
}

TEST(OptimizeCombinedTest, TakesOneStepWithTheSumForAnyNumberOfParts) {
  const CombinePlan plan = MixedPlan();
  const std::vector<std::vector<float>> rates = {{0.1f}, {0.2f, 0.3f}};
  for (const int parts : {1, 2, 5}) {
    std::mt19937_64 random(4);
    MultiTable tables(TwoTables()), twin(TwoTables());
    for (int step = 0; step < 3; ++step) {
      const int64_t batch = step == 0 ? 1 : 400;
      std::vector<Rows> rows;
      for (int f = 0; f < plan.num_features(); ++f) rows.push_back(RandomRows(batch, 4, 900, &random));
      std::vector<FeatureIds> ids;
      for (const Rows& r : rows) ids.push_back(r.Ids());
      auto gradients = RandomGradients(plan, batch, &random);
      const auto mutable_pointers = Pointers(&gradients);
      const std::vector<const float*> pointers(mutable_pointers.begin(), mutable_pointers.end());
      for (int t = 0; t < 2; ++t) {
        std::vector<std::thread> threads;
        for (int part = 0; part < parts; ++part) {
          threads.emplace_back([&, part] {
            OptimizeCombined(plan, plan.FeaturesOf(t), &tables.table(t), ids, pointers.data(),
                             {rates[t].data(), 7, step, nullptr}, part, parts);
          });
        }
        for (auto& thread : threads) thread.join();
        for (const auto& [fid, sum] : Sums(plan, t, twin.table(t).dim(), ids, gradients)) {
          testing::Optimize(&twin.table(t), {fid}, sum, rates[t], 7, step);
        }
      }
    }
    for (int t = 0; t < 2; ++t) {
      ASSERT_EQ(tables.table(t).size(), twin.table(t).size());
      for (int64_t fid = -5; fid < 900; ++fid) {
        ASSERT_EQ(tables.table(t).LookupEntry(fid), twin.table(t).LookupEntry(fid)) << "fid " << fid;
      }
    }
  }
}

TEST(OptimizeCombinedTest, UnusedAndSharedColumns) {
  MultiTable tables({MakeConfig({MakeSlice(3)})});
  // Column 0 goes nowhere, column 1 to one output, column 2 to both.
  const CombinePlan plan({{0, Combiner::kSum, 0}}, {{0, 1, 2, 0, 0}, {0, 2, 1, 1, 0}}, {{2, 0}, {1, 0}});
  plan.CheckTables(tables);
  const std::vector<int64_t> fids{9};
  const std::vector<float> first{1, 2}, second{10};
  const float* gradients[] = {first.data(), second.data()};
  const float rate = 1;
  OptimizeCombined(plan, {0}, &tables.table(0), {{fids.data(), 1, nullptr, 1}}, gradients, {&rate, 0, 0, nullptr}, 0,
                   1);
  EXPECT_THAT(Lookup(tables.table(0), {9}), ElementsAre(0, -1, -12));
}

class CountingFilter : public AdmissionFilter {
 public:
  bool Admit(int64_t fid, int64_t occurrences) override {
    asked[fid] += occurrences;
    return fid % 2 == 0;
  }
  std::map<int64_t, int64_t> asked;
};

TEST(OptimizeCombinedTest, FilterCountsAFidOnce) {
  MultiTable tables({MakeConfig({MakeSlice(1)})});
  const CombinePlan plan({{0, Combiner::kSum, 0}, {0, Combiner::kSum, 0}}, {{0, 0, 1, 0, 0}, {1, 0, 1, 0, 1}},
                         {{2, 0}});
  const std::vector<int64_t> fids{2, 2, 3};
  const std::vector<float> gradient{1, 2, 3, 4, 5, 6};
  const float* gradients = gradient.data();
  const float rate = 1;
  CountingFilter filter;
  const FeatureIds ids{fids.data(), 3, nullptr, 1};
  OptimizeCombined(plan, {0, 1}, &tables.table(0), {ids, ids}, &gradients, {&rate, 0, 0, &filter}, 0, 1);
  EXPECT_EQ(filter.asked, (std::map<int64_t, int64_t>{{2, 1}, {3, 1}}));
  EXPECT_THAT(Lookup(tables.table(0), {2, 3}), ElementsAre(-10, 0));
}

std::string Refusal(const std::vector<CombineFeature>& features, const std::vector<CombineSlice>& slices,
                    const std::vector<CombineOutput>& outputs) {
  try {
    const CombinePlan plan(features, slices, outputs);
    plan.CheckTables(MultiTable(TwoTables()));
  } catch (const TableError& error) {
    return error.what();
  }
  return "";
}

TEST(CombinePlanTest, RefusesByName) {
  const CombineFeature sum{0, Combiner::kSum, 0}, first{0, Combiner::kFirstN, 2};
  EXPECT_EQ(Refusal({sum}, {{0, 0, 3, 0, 0}}, {{3, 0}}), "");
  EXPECT_THAT(Refusal({}, {}, {}), HasSubstr("no features; give at least one"));
  EXPECT_THAT(Refusal({{-1, Combiner::kSum, 0}}, {}, {}), HasSubstr("feature 0: table is -1"));
  EXPECT_THAT(Refusal({{0, Combiner::kFirstN, 0}}, {}, {}), HasSubstr("max_seq_length is 0; first_n needs at least 1"));
  EXPECT_THAT(Refusal({{0, Combiner::kMean, 2}}, {}, {}), HasSubstr("max_seq_length is 2; it must be 0"));
  EXPECT_THAT(Refusal({sum}, {}, {{0, 0}}), HasSubstr("output 0: width is 0 and length 0"));
  EXPECT_THAT(Refusal({sum}, {}, {{1, -1}}), HasSubstr("output 0: width is 1 and length -1"));
  EXPECT_THAT(Refusal({sum}, {{1, 0, 1, 0, 0}}, {{1, 0}}), HasSubstr("a slice is of feature 1, but there are 1"));
  EXPECT_THAT(Refusal({sum}, {{0, 0, 1, 2, 0}}, {{1, 0}}), HasSubstr("goes to output 2, but there are 1"));
  EXPECT_THAT(Refusal({sum}, {{0, -1, 1, 0, 0}}, {{1, 0}}), HasSubstr("begins at -1 with dim 1"));
  EXPECT_THAT(Refusal({sum}, {{0, 0, 0, 0, 0}}, {{1, 0}}), HasSubstr("begins at 0 with dim 0"));
  EXPECT_THAT(Refusal({sum}, {{0, 0, 2, 0, 1}}, {{2, 0}}),
              HasSubstr("takes 2 columns from 1 on, but output 0 is 2 wide"));
  EXPECT_THAT(Refusal({first}, {{0, 0, 1, 0, 0}}, {{1, 3}}),
              HasSubstr("max_seq_length 2, goes to output 0 of length 3"));
  EXPECT_THAT(Refusal({sum}, {{0, 0, 2, 0, 0}, {0, 0, 2, 0, 1}}, {{3, 0}}),
              HasSubstr("column 1 belongs to two slices"));
  EXPECT_THAT(Refusal({sum}, {{0, 0, 2, 0, 1}}, {{3, 0}}), HasSubstr("column 0 of 3 belongs to no slice"));
  EXPECT_THAT(Refusal({sum}, {{0, 0, 2, 0, 0}}, {{2, 0}, {1, 0}}), HasSubstr("output 1: column 0 of 1 belongs to no"));
  EXPECT_THAT(Refusal({{2, Combiner::kSum, 0}}, {{0, 0, 1, 0, 0}}, {{1, 0}}),
              HasSubstr("feature 0 reads table 2, but there are 2"));
  EXPECT_THAT(Refusal({sum}, {{0, 1, 3, 0, 0}}, {{3, 0}}), HasSubstr("columns 1 to 4, but table 'narrow' has dim 3"));
}

TEST(CombinePlanTest, TablesElsewhereAreCheckedByTheirDims) {
  const CombinePlan plan({{1, Combiner::kSum, 0}}, {{0, 2, 3, 0, 0}}, {{3, 0}});
  plan.CheckTables(std::vector<int64_t>{1, 5});
  EXPECT_THAT([&] { plan.CheckTables(std::vector<int64_t>{5}); },
              ::testing::ThrowsMessage<TableError>(HasSubstr("reads table 1, but there are 1")));
  EXPECT_THAT([&] { plan.CheckTables(std::vector<int64_t>{5, 4}); },
              ::testing::ThrowsMessage<TableError>(HasSubstr("columns 2 to 5, but table 1 has dim 4")));
}

}  // namespace
}  // namespace monolith
