// SPDX-License-Identifier: Apache-2.0
// Lookup and combine in one pass, and the way back: gradients through the combiner into one step for each fid.
//
// Both directions go through the ids in small batches, so embeddings and gradients of single fids live in the first
// cache and are never materialised for the whole batch.
#ifndef CC_HASH_TABLE_COMBINE_H_
#define CC_HASH_TABLE_COMBINE_H_

#include <cstdint>
#include <vector>

#include "cc/hash_table/combine_plan.h"

namespace monolith {

struct LookupCounts {
  int64_t fids = 0;     // looked up: of kFirstN those that have a position
  int64_t present = 0;  // those of them that the table has
};

// Writes rows [first_row, last_row) of `feature` into its columns of `outputs`, one pointer for each output of the plan.
// Absent fids count as zeros. Calls on different rows or features touch different floats.
// Requires: plan.CheckTables holds, `table` is the feature's, and `ids` has monotone splits.
LookupCounts CombineRows(const CombinePlan& plan, int feature, const EmbeddingTable& table, const FeatureIds& ids,
                         int64_t first_row, int64_t last_row, float* const* outputs);

// Takes one optimizer step for each distinct fid of `features`, all of one table, that falls into part `part` of
// `num_parts`. Its gradient is the sum over all its occurrences, in the order of features, rows and places in a row, so
// the result is the same bit for bit for any number of parts. Fids beyond the last position of kFirstN, and columns that
// no slice uses, have gradient 0. An AdmissionFilter counts a fid once.
// `ids` and `gradients` are indexed by feature and by output. Requires: as CombineRows, and fewer than 2^31 fids.
void OptimizeCombined(const CombinePlan& plan, const std::vector<int>& features, EmbeddingTable* table,
                      const std::vector<FeatureIds>& ids, const float* const* gradients, const StepSettings& step,
                      int part, int num_parts);

// The sum of squares of what every occurrence of a fid gets as its gradient: in rows [first_row, last_row) of `feature`,
// from gradients of the plan's outputs. Occurrences beyond the last position of kFirstN get none. So it is the square of
// the norm that the gradient of embeddings would have had, had they been looked up one by one and combined afterwards.
double CombinedGradientSquares(const CombinePlan& plan, int feature, const FeatureIds& ids, int64_t first_row,
                               int64_t last_row, const float* const* gradients);

}  // namespace monolith

#endif  // CC_HASH_TABLE_COMBINE_H_
