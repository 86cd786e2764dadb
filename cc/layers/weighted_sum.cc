// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/weighted_sum.h"

#include "cc/layers/simd.h"
#include "cc/layers/small_matmul.h"

namespace monolith::layers {
namespace {

struct ForwardLoop {
  const WeightedSumShape& shape;
  const float* weights;
  const float* values;
  float* output;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t count = shape.count, width = shape.width;
    for (int64_t b = 0; b < shape.num_rows; ++b) {
      MatMul<kLanes, false>({weights + b * count, count, 1}, {values + b * count * width, width}, 1, count, width,
                            {output + b * width, width});
    }
  }
};

// One value's share of the gradient, and the products of the value with it.
struct GradientOfValue {
  const float* grad;
  float weight;
  const float* value;
  float* value_grad;
  float* products;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t i) const {
    Floats<kLanes> g, v;
    Load<kLanes>(grad + i, &g);
    Load<kLanes>(value + i, &v);
    Store<kLanes>(g * weight, value_grad + i);
    Floats<kLanes> sum;
    float* to = products + i % kSums;
    Load<kLanes>(to, &sum);
    Store<kLanes>(sum + g * v, to);
  }

  static constexpr int kSums = 16;  // as many as the widest register has lanes, at every level: the bits are the same
};

struct GradientLoop {
  const WeightedSumShape& shape;
  const float* grad;
  const float* weights;
  const float* values;
  float* weights_grad;
  float* values_grad;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t count = shape.count, width = shape.width;
    for (int64_t i = 0; i < shape.num_rows * count; ++i) {
      float sums[GradientOfValue::kSums] = {};
      ForColumns<kLanes>(
          0, width,
          GradientOfValue{grad + i / count * width, weights[i], values + i * width, values_grad + i * width, sums});
      for (int half = GradientOfValue::kSums / 2; half > 0; half /= 2) {
        for (int j = 0; j < half; ++j) sums[j] += sums[j + half];
      }
      weights_grad[i] = sums[0];
    }
  }
};

}  // namespace

void WeightedSum(const WeightedSumShape& shape, const float* weights, const float* values, float* output) {
  RunVectorised(ForwardLoop{shape, weights, values, output});
}

void WeightedSumGradient(const WeightedSumShape& shape, const float* grad, const float* weights, const float* values,
                         float* weights_grad, float* values_grad) {
  RunVectorised(GradientLoop{shape, grad, weights, values, weights_grad, values_grad});
}

}  // namespace monolith::layers
