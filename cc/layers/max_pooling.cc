// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/max_pooling.h"

#include <algorithm>

#include "cc/layers/simd.h"

namespace monolith::layers {
namespace {

constexpr int64_t kBlock = 1024;  // numbers that go through all inputs at once: few enough for the nearest cache

// One input's share of `rest`, which is what the inputs before it left of the gradient.
struct TakeShare {
  const float* output;
  const float* input;
  float* rest;
  float* input_grad;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t i) const {
    Floats<kLanes> largest, value, left;
    Load<kLanes>(output + i, &largest);
    Load<kLanes>(input + i, &value);
    Load<kLanes>(rest + i, &left);
    const Floats<kLanes> zeros = {};
    Store<kLanes>(value < largest ? zeros : left, input_grad + i);
    Store<kLanes>(value < largest ? left : zeros, rest + i);
  }
};

struct GradientLoop {
  int64_t begin;
  int64_t end;
  const float* grad;
  const float* output;
  const std::vector<const float*>& inputs;
  const std::vector<float*>& input_grads;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    float rest[kBlock];
    for (int64_t at = begin; at < end; at += kBlock) {
      const int64_t size = std::min(kBlock, end - at);
      std::copy_n(grad + at, size, rest);
      for (size_t k = 0; k < inputs.size(); ++k) {
        ForColumns<kLanes>(0, size, TakeShare{output + at, inputs[k] + at, rest, input_grads[k] + at});
      }
    }
  }
};

}  // namespace

void MaxPoolingGradient(int64_t begin, int64_t end, const float* grad, const float* output,
                        const std::vector<const float*>& inputs, const std::vector<float*>& input_grads) {
  RunVectorised(GradientLoop{begin, end, grad, output, inputs, input_grads});
}

}  // namespace monolith::layers
