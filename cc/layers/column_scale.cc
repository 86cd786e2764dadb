// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/column_scale.h"

#include <algorithm>

#include "cc/layers/simd.h"

namespace monolith::layers {
namespace {

struct GradientOfRow {
  const float* grad;
  const float* x;
  const float* scale;
  float* x_grad;
  float* scale_grad;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t i) const {
    Floats<kLanes> g, value, factor, sum;
    Load<kLanes>(grad + i, &g);
    Load<kLanes>(x + i, &value);
    Load<kLanes>(scale + i, &factor);
    Load<kLanes>(scale_grad + i, &sum);
    Store<kLanes>(g * factor, x_grad + i);
    Store<kLanes>(sum + g * value, scale_grad + i);
  }
};

struct GradientLoop {
  int64_t begin_row;
  int64_t end_row;
  int64_t width;
  GradientOfRow all;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    for (int64_t row = begin_row; row < end_row; ++row) {
      const int64_t at = row * width;
      ForColumns<kLanes>(0, width,
                         GradientOfRow{all.grad + at, all.x + at, all.scale, all.x_grad + at, all.scale_grad});
    }
  }
};

}  // namespace

void ColumnScaleGradient(int64_t chunk, int64_t num_rows, int64_t width, const float* grad, const float* x,
                         const float* scale, float* x_grad, float* scale_grad) {
  const int64_t num_chunks = ColumnScaleChunks(num_rows, width);
  std::fill_n(scale_grad, width, 0.0f);
  RunVectorised(GradientLoop{ChunkBegin(chunk, num_chunks, num_rows),
                             ChunkBegin(chunk + 1, num_chunks, num_rows),
                             width,
                             {grad, x, scale, x_grad, scale_grad}});
}

}  // namespace monolith::layers
