// SPDX-License-Identifier: Apache-2.0
// What each feature adds to every unit of a first dense layer: the layer's product, feature by feature.
//
// The input's columns belong to features, segment by segment. The gradient of the weight sums over the batch, in partial
// sums.
#ifndef CC_LAYERS_FEATURE_INSIGHT_H_
#define CC_LAYERS_FEATURE_INSIGHT_H_

#include <cstdint>
#include <vector>

#include "cc/layers/partial_sums.h"

namespace monolith::layers {

// Sizes of one call; S is the sum of the segments.
class FeatureInsight {
 public:
  // Requires: no segment is negative; units >= 0.
  FeatureInsight(const std::vector<int64_t>& segment_sizes, int64_t units);

  int64_t input_width() const { return begins_.back(); }
  int64_t output_width() const { return num_segments() * units_; }
  int64_t weight_size() const { return input_width() * units_; }

  // output[b, f * K + k] = sum over j in segment f of input[b, j] * weight[j, k], for `num_rows` rows.
  // weight is [S, K].
  void Forward(int64_t num_rows, const float* input, const float* weight, float* output) const;

  // Each segment's part of the weight, transposed: [K, size] after [K, size]. `transposed` holds weight_size() floats.
  void TransposeWeight(const float* weight, float* transposed) const;

  // Into how many chunks a batch is cut for its gradient.
  int64_t num_chunks(int64_t batch) const { return NumChunks(batch, output_width(), weight_size()); }

  // Gradients of one chunk's rows; `grad`, `input` and `input_grad` are the whole batch's. Its share of the weight's
  // gradient goes to `weight_grad`, [S, K].
  void ChunkGradient(int64_t chunk, int64_t batch, const float* grad, const float* input, const float* transposed,
                     float* input_grad, float* weight_grad) const;

 private:
  int64_t num_segments() const { return static_cast<int64_t>(begins_.size()) - 1; }

  std::vector<int64_t> begins_;  // first column of each segment, and S
  int64_t units_;                // K
};

}  // namespace monolith::layers

#endif  // CC_LAYERS_FEATURE_INSIGHT_H_
