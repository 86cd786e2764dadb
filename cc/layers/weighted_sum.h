// SPDX-License-Identifier: Apache-2.0
// Sums of vectors, each with a weight: what an attention makes of its scores.
#ifndef CC_LAYERS_WEIGHTED_SUM_H_
#define CC_LAYERS_WEIGHTED_SUM_H_

#include <cstdint>

namespace monolith::layers {

// `count` vectors of `width` floats in each of `num_rows` rows.
struct WeightedSumShape {
  int64_t num_rows;
  int64_t count;
  int64_t width;
};

// output[b] = sum over t of weights[b, t] * values[b, t].
void WeightedSum(const WeightedSumShape& shape, const float* weights, const float* values, float* output);

// The gradients with respect to both factors; `grad` is like the output.
void WeightedSumGradient(const WeightedSumShape& shape, const float* grad, const float* weights, const float* values,
                         float* weights_grad, float* values_grad);

}  // namespace monolith::layers

#endif  // CC_LAYERS_WEIGHTED_SUM_H_
