// SPDX-License-Identifier: Apache-2.0
// Pools the vectors of a feature's fids into one row an example, and the gradients of that.
#ifndef MONOLITH_CC_DISTRIBUTION_REDUCE_H_
#define MONOLITH_CC_DISTRIBUTION_REDUCE_H_

#include <vector>

#include "cc/distribution/span.h"

namespace monolith::distribution {

enum class Reduction { kSum, kMean, kSquareNorm };

// output[b] pools the rows i of `values` with rows[i] == b: their sum, mean, or the square root of the
// sum of squares. A row without values becomes 0.
// Requires: rows lie in [0, num_rows); values is [rows.size, dim], output [num_rows, dim].
void ReduceRows(Reduction reduction, Span<const int64_t> rows, const float* values, int64_t dim, int64_t num_rows,
                float* output);

// The gradient with respect to `values`; only kSquareNorm reads them. Where the norm is 0 so is the
// gradient. grads is [num_rows, dim], output [rows.size, dim].
void ReduceRowsGradient(Reduction reduction, Span<const int64_t> rows, const float* values, const float* grads,
                        int64_t dim, int64_t num_rows, float* output);

// Sums as ReduceRows does and cuts the columns: outputs[k] is [num_rows, dims[k]].
void SumAndSplit(Span<const int64_t> rows, const float* values, Span<const int64_t> dims, int64_t num_rows,
                 const std::vector<float*>& outputs);

// The gradient of SumAndSplit: row i of `output` joins row rows[i] of every gradient.
void SumAndSplitGradient(Span<const int64_t> rows, const std::vector<const float*>& grads, Span<const int64_t> dims,
                         float* output);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_REDUCE_H_
