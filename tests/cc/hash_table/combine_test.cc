// SPDX-License-Identifier: Apache-2.0
// Combining against a loop over rows that looks every fid up by itself, and its gradients against a map of sums.
#include "cc/hash_table/combine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using ::monolith::testing::Assign;
using ::monolith::testing::DefaultSlice;
using ::monolith::testing::Lookup;
using ::monolith::testing::MakeConfig;
using ::monolith::testing::MakeSlice;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Rows of fids, as splits or, where all rows are as long, without.
struct Rows {
  std::vector<int64_t> fids;
  std::vector<int64_t> splits{0};

  FeatureIds Ids() const { return {fids.data(), static_cast<int64_t>(splits.size()) - 1, splits.data(), 1}; }
  FeatureIds Dense(int64_t per_row) const {
    return {fids.data(), static_cast<int64_t>(splits.size()) - 1, nullptr, per_row};
  }
};

Rows RandomRows(int64_t batch, int64_t longest, int64_t vocabulary, std::mt19937_64* random) {
  Rows rows;
  for (int64_t i = 0; i < batch; ++i) {
    for (uint64_t n = (*random)() % (longest + 1); n > 0; --n) rows.fids.push_back((*random)() % vocabulary - 5);
    rows.splits.push_back(rows.fids.size());
  }
  return rows;
}

std::vector<TableConfig> TwoTables(const std::string& optimizer = "adagrad") {
  TableConfig narrow = MakeConfig({DefaultSlice(3, optimizer)});
  TableConfig wide = MakeConfig({DefaultSlice(4, optimizer), DefaultSlice(1, optimizer)});
  narrow.name = "narrow";
  wide.name = "wide";
  return {narrow, wide};
}

// Features on both tables and of every combiner; the wide table's slices go to different outputs.
CombinePlan MixedPlan() {
  return CombinePlan({{1, Combiner::kSum, 0},
                      {1, Combiner::kMean, 0},
                      {0, Combiner::kMean, 0},
                      {1, Combiner::kFirstN, 2},
                      {0, Combiner::kFirstN, 2},
                      {0, Combiner::kSum, 0}},
                     {{0, 0, 4, 0, 0},
                      {0, 4, 1, 1, 0},
                      {1, 0, 4, 0, 4},
                      {1, 4, 1, 1, 1},
                      {2, 0, 3, 0, 8},
                      {3, 0, 5, 2, 3},
                      {4, 0, 3, 2, 0},
                      {5, 0, 3, 3, 0}},
                     {{11, 0}, {2, 0}, {8, 2}, {3, 0}});
}

std::vector<std::vector<float>> MakeOutputs(const CombinePlan& plan, int64_t batch, float value) {
  std::vector<std::vector<float>> outputs;
  for (const CombineOutput& o : plan.outputs()) outputs.emplace_back(batch * o.lines() * o.width, value);
  return outputs;
}

std::vector<float*> Pointers(std::vector<std::vector<float>>* outputs) {
  std::vector<float*> pointers;
  for (auto& output : *outputs) pointers.push_back(output.data());
  return pointers;
}

// The combined output by a loop over rows.
std::vector<std::vector<float>> Expected(const CombinePlan& plan, const MultiTable& tables,
                                         const std::vector<FeatureIds>& ids, int64_t batch) {
  auto outputs = MakeOutputs(plan, batch, 0);
  for (int f = 0; f < plan.num_features(); ++f) {
    const CombinePlan::Use& use = plan.use(f);
    for (int64_t row = 0; row < batch; ++row) {
      const int64_t begin = ids[f].Begin(row), count = ids[f].Begin(row + 1) - begin;
      for (int64_t i = 0; i < count; ++i) {
        const auto embedding = Lookup(tables.table(use.feature.table), {ids[f].fids[begin + i]});
        const bool sequence = use.feature.combiner == Combiner::kFirstN;
        if (sequence && i >= use.lines) continue;
        for (const CombineSlice& s : use.slices) {
          const int64_t width = plan.outputs()[s.output].width;
          float* at = outputs[s.output].data() + (row * use.lines + (sequence ? i : 0)) * width + s.column;
          for (int64_t d = 0; d < s.dim; ++d) {
            at[d] += embedding[s.begin + d];
            if (use.feature.combiner == Combiner::kMean && i == count - 1) at[d] /= static_cast<float>(count);
          }
        }
      }
    }
  }
  return outputs;
}

void FillTables(MultiTable* tables, std::mt19937_64* random) {
  for (int t = 0; t < tables->num_tables(); ++t) {
    for (int64_t fid = -5; fid < 600; fid += 2) {
      std::vector<float> values(tables->table(t).dim());
      for (float& v : values) v = static_cast<float>((*random)() % 1000) / 37;
      Assign(&tables->table(t), {fid}, values);
    }
  }
}

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

// Sums of gradients by fid, in order, from a loop.
std::map<int64_t, std::vector<float>> Sums(const CombinePlan& plan, int table, int dim,
                                           const std::vector<FeatureIds>& ids,
                                           const std::vector<std::vector<float>>& gradients) {
  std::map<int64_t, std::vector<float>> sums;
  for (const int f : plan.FeaturesOf(table)) {
    const CombinePlan::Use& use = plan.use(f);
    for (int64_t row = 0; row < ids[f].batch; ++row) {
      const int64_t begin = ids[f].Begin(row), count = ids[f].Begin(row + 1) - begin;
      for (int64_t i = 0; i < count; ++i) {
        std::vector<float>& sum = sums[ids[f].fids[begin + i]];
        sum.resize(dim);
        const bool sequence = use.feature.combiner == Combiner::kFirstN;
        if (sequence && i >= use.lines) continue;
        for (const CombineSlice& s : use.slices) {
          const int64_t width = plan.outputs()[s.output].width;
          const float* at = gradients[s.output].data() + (row * use.lines + (sequence ? i : 0)) * width + s.column;
          const float divisor = use.feature.combiner == Combiner::kMean ? static_cast<float>(count) : 1;
          for (int64_t d = 0; d < s.dim; ++d) sum[s.begin + d] += at[d] / divisor;
        }
      }
    }
  }
  return sums;
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
      auto gradients = MakeOutputs(plan, batch, 0);
      for (auto& output : gradients) {
        for (float& g : output) g = static_cast<float>(static_cast<int64_t>(random() % 1000) - 500) / 77;
      }
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

}  // namespace
}  // namespace monolith
