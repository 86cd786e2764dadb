// SPDX-License-Identifier: Apache-2.0
// Deals rows out to shards, and back.
#ifndef MONOLITH_CC_DISTRIBUTION_SPLIT_H_
#define MONOLITH_CC_DISTRIBUTION_SPLIT_H_

#include <vector>

#include "cc/distribution/span.h"

namespace monolith::distribution {

// How many rows go to each of `num_splits` splits. Requires: indices lie in [0, num_splits).
std::vector<int64_t> CountSplits(Span<const int64_t> indices, int64_t num_splits);

// Copies row i of `input` to the next free row of `outputs[indices[i]]`; order within a split stays.
// Requires: outputs[s] has room for CountSplits(...)[s] rows of `row_bytes`.
void SplitRows(Span<const int64_t> indices, const char* input, int64_t row_bytes, std::vector<char*> outputs);

// The inverse of SplitRows: row i of `output` is the next row of `inputs[indices[i]]`.
void MergeRows(Span<const int64_t> indices, std::vector<const char*> inputs, int64_t row_bytes, char* output);

// What one split of a ragged tensor receives. `row_splits` has as many rows as the whole.
struct RaggedPart {
  std::vector<int64_t> values;
  std::vector<int64_t> row_splits;
  std::vector<int64_t> positions;  // index of each value in the whole
};

// Deals the values of a ragged tensor out by `indices`, one a value; rows stay rows.
// Requires: `splits` are row splits of `values`, and indices lie in [0, num_splits).
std::vector<RaggedPart> SplitRagged(Span<const int64_t> indices, Span<const int64_t> values, Span<const int64_t> splits,
                                    int64_t num_splits);

// Makes one tensor's row splits of several ones laid end to end, `sizes[i]` numbers each.
// The result has `row_splits.size + 1 - sizes.size` numbers.
Error JoinRowSplits(Span<const int64_t> row_splits, Span<const int32_t> sizes, std::vector<int64_t>* joined);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_SPLIT_H_
