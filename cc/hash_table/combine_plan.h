// SPDX-License-Identifier: Apache-2.0
// Which features one call looks up and combines, and where their embeddings go.
//
//   feature 0 (table 2, sum)      [ slice a 16 | slice b 1 ]      output 0 [batch, 32]      a0 a1
//   feature 1 (table 0, mean)     [ slice a 16 | slice b 1 ]      output 1 [batch, 2]       b0 b1
//   feature 2 (table 2, first 5)  [ all 17 ]                      output 2 [batch, 5, 17]
//
// A concatenation of features is thus an output with several slices: nothing is copied for it.
#ifndef CC_HASH_TABLE_COMBINE_PLAN_H_
#define CC_HASH_TABLE_COMBINE_PLAN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cc/hash_table/multi_table.h"

namespace monolith {

enum class Combiner {
  kSum,     // of a row's embeddings
  kMean,    // their sum over their number; zeros for a row without fids
  kFirstN,  // the first embeddings of a row, one a position; missing positions are zeros
};

struct CombineFeature {
  int64_t table = 0;
  Combiner combiner = Combiner::kSum;
  int64_t max_seq_length = 0;  // positions of kFirstN; else 0
};

// Columns [begin, begin + dim) of a feature's embedding go to columns [column, column + dim) of an output.
struct CombineSlice {
  int64_t feature = 0;
  int64_t begin = 0;
  int64_t dim = 0;
  int64_t output = 0;
  int64_t column = 0;
};

// [batch, width], or [batch, length, width] where length > 0.
struct CombineOutput {
  int64_t width = 0;
  int64_t length = 0;
  int64_t lines() const { return length > 0 ? length : 1; }  // rows of `width` floats for one row of the batch
};

class CombinePlan {
 public:
  // How a feature's embedding is used.
  struct Use {
    CombineFeature feature;
    std::vector<CombineSlice> slices;
    int64_t lines = 1;  // of its outputs
  };

  // Throws TableError for a description that names what is not there, leaves a column of an output without a slice or
  // gives it two, or mixes pooled features and sequences in one output.
  CombinePlan(const std::vector<CombineFeature>& features, const std::vector<CombineSlice>& slices,
              const std::vector<CombineOutput>& outputs);

  // Throws TableError if a feature's table is not among `tables`, or is narrower than its slices.
  void CheckTables(const MultiTable& tables) const;
  // The same for tables that are elsewhere, by their dims.
  void CheckTables(const std::vector<int64_t>& dims) const;

  int num_features() const { return static_cast<int>(uses_.size()); }
  const Use& use(int feature) const { return uses_[feature]; }
  const std::vector<CombineOutput>& outputs() const { return outputs_; }
  // Features of one table, in order.
  std::vector<int> FeaturesOf(int table) const;

 private:
  void AddSlice(const CombineSlice& slice);
  void CheckColumns(const std::vector<CombineSlice>& slices) const;
  void CheckDims(const std::vector<int64_t>& dims, const std::function<std::string(int)>& name_of) const;

  std::vector<CombineOutput> outputs_;
  std::vector<Use> uses_;
};

// The fids of one feature: rows by `splits` [batch + 1], or, where that is null, `per_row` fids in every row.
struct FeatureIds {
  const int64_t* fids = nullptr;
  int64_t batch = 0;
  const int64_t* splits = nullptr;
  int64_t per_row = 1;

  int64_t Begin(int64_t row) const { return splits != nullptr ? splits[row] : row * per_row; }
  int64_t num_fids() const { return Begin(batch); }
};

// How many fids of a table one batch takes, so that their embeddings stay in the first cache.
int64_t FidsPerBatch(int dim);

}  // namespace monolith

#endif  // CC_HASH_TABLE_COMBINE_PLAN_H_
