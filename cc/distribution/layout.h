// SPDX-License-Identifier: Apache-2.0
// From the embeddings of sharded fids (shard_fids.h) to the tensors of a layout, and gradients the way back.
#ifndef MONOLITH_CC_DISTRIBUTION_LAYOUT_H_
#define MONOLITH_CC_DISTRIBUTION_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "cc/distribution/layout_config.h"
#include "cc/distribution/span.h"

namespace monolith::distribution {

// Where the fids of a batch went, and the embeddings of each list.
struct LayoutInputs {
  std::vector<Span<const float>> embeddings;
  Span<const uint64_t> fid_offset;
  Span<const int32_t> feature_offset;
  Span<const uint32_t> nfl_offset;
  int64_t batch = 0;
};

// Throws DataError unless nfl_offset and feature_offset are in order and within what they point to.
void CheckLayoutRows(const LayoutConfig& config, const LayoutInputs& inputs);

// As CheckLayoutRows, and fid_offset is within the embeddings.
void CheckLayoutInputs(const LayoutConfig& config, const LayoutInputs& inputs);

// Writes rows [first, last) of `tensor`. Requires: checked inputs; `out` has tensor.shape(batch) floats.
void FillLayout(const LayoutConfig& config, const LayoutTensor& tensor, const LayoutInputs& inputs, int64_t first,
                int64_t last, float* out);

// Adds to `gradients` (of each list, as long as its embeddings) what one feature gets from the gradients of all tensors,
// times `scale`. Features may run at the same time: each has places of its own in the lists.
void AddLayoutGradients(const LayoutConfig& config, int feature, const LayoutInputs& inputs,
                        const std::vector<const float*>& tensor_gradients, float scale,
                        const std::vector<float*>& gradients);

// The sum of squares of what every occurrence of a fid gets as its gradient in rows [first, last) of one feature: of the
// norm that single lookups, combined afterwards, would have had. A fid that occurs twice in a row counts twice; one
// beyond the last position gets none. Requires: checked rows; no embeddings are read.
double LayoutGradientSquares(const LayoutConfig& config, int feature, const LayoutInputs& inputs,
                             const std::vector<const float*>& tensor_gradients, int64_t first, int64_t last);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_LAYOUT_H_
