// SPDX-License-Identifier: Apache-2.0
// Features of every combiner over two tables, and what combining and its gradients come to by loops over rows.
#ifndef TESTS_CC_HASH_TABLE_COMBINE_TEST_UTIL_H_
#define TESTS_CC_HASH_TABLE_COMBINE_TEST_UTIL_H_

#include <map>
#include <random>
#include <string>
#include <vector>

#include "cc/hash_table/combine_plan.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith::testing {

// Rows of fids, as splits or, where all rows are as long, without.
struct Rows {
  std::vector<int64_t> fids;
  std::vector<int64_t> splits{0};

  FeatureIds Ids() const { return {fids.data(), static_cast<int64_t>(splits.size()) - 1, splits.data(), 1}; }
  FeatureIds Dense(int64_t per_row) const {
    return {fids.data(), static_cast<int64_t>(splits.size()) - 1, nullptr, per_row};
  }
};

inline Rows RandomRows(int64_t batch, int64_t longest, int64_t vocabulary, std::mt19937_64* random) {
  Rows rows;
  for (int64_t i = 0; i < batch; ++i) {
    for (uint64_t n = (*random)() % (longest + 1); n > 0; --n) rows.fids.push_back((*random)() % vocabulary - 5);
    rows.splits.push_back(rows.fids.size());
  }
  return rows;
}

inline std::vector<TableConfig> TwoTables(const std::string& optimizer = "adagrad") {
  TableConfig narrow = MakeConfig({DefaultSlice(3, optimizer)});
  TableConfig wide = MakeConfig({DefaultSlice(4, optimizer), DefaultSlice(1, optimizer)});
  narrow.name = "narrow";
  wide.name = "wide";
  return {narrow, wide};
}

// Features on both tables and of every combiner; the wide table's slices go to different outputs.
inline CombinePlan MixedPlan() {
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

inline std::vector<std::vector<float>> MakeOutputs(const CombinePlan& plan, int64_t batch, float value) {
  std::vector<std::vector<float>> outputs;
  for (const CombineOutput& o : plan.outputs()) outputs.emplace_back(batch * o.lines() * o.width, value);
  return outputs;
}

inline std::vector<float*> Pointers(std::vector<std::vector<float>>* outputs) {
  std::vector<float*> pointers;
  for (auto& output : *outputs) pointers.push_back(output.data());
  return pointers;
}

// The combined output by a loop over rows.
inline std::vector<std::vector<float>> Expected(const CombinePlan& plan, const MultiTable& tables,
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

inline void FillTables(MultiTable* tables, std::mt19937_64* random) {
  for (int t = 0; t < tables->num_tables(); ++t) {
    for (int64_t fid = -5; fid < 600; fid += 2) {
      std::vector<float> values(tables->table(t).dim());
      for (float& v : values) v = static_cast<float>((*random)() % 1000) / 37;
      Assign(&tables->table(t), {fid}, values);
    }
  }
}

// Sums of gradients by fid, in order, from a loop.
inline std::map<int64_t, std::vector<float>> Sums(const CombinePlan& plan, int table, int dim,
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

// Gradients of all outputs of a plan.
inline std::vector<std::vector<float>> RandomGradients(const CombinePlan& plan, int64_t batch,
                                                       std::mt19937_64* random) {
  auto gradients = MakeOutputs(plan, batch, 0);
  for (auto& output : gradients) {
    for (float& g : output) g = static_cast<float>(static_cast<int64_t>((*random)() % 1000) - 500) / 77;
  }
  return gradients;
}

}  // namespace monolith::testing

#endif  // TESTS_CC_HASH_TABLE_COMBINE_TEST_UTIL_H_
