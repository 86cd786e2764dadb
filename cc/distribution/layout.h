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

// Throws DataError unless all offsets are in order and within what they point to.
void CheckLayoutInputs(const LayoutConfig& config, const LayoutInputs& inputs);

// Writes rows [first, last) of `tensor`. Requires: checked inputs; `out` has tensor.shape(batch) floats.
void FillLayout(const LayoutConfig& config, const LayoutTensor& tensor, const LayoutInputs& inputs, int64_t first,
                int64_t last, float* out);

// Adds to `gradients` (of each list, as long as its embeddings) what one feature gets from the gradients of all tensors,
// times `scale`. Features may run at the same time: each has places of its own in the lists.
void AddLayoutGradients(const LayoutConfig& config, int feature, const LayoutInputs& inputs,
                        const std::vector<const float*>& tensor_gradients, float scale,
                        const std::vector<float*>& gradients);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_LAYOUT_H_
