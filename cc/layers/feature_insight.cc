// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/feature_insight.h"

#include <algorithm>

#include "cc/layers/simd.h"
#include "cc/layers/small_matmul.h"

namespace monolith::layers {
namespace {

// Of the batch: few enough that the processor foresees each of the rows, which lie far apart.
constexpr int64_t kRowsPerBlock = 8;
constexpr int64_t kFloatsPerLine = 16;
constexpr int64_t kFloatsAhead = 128;  // after so many of a row it is foreseen

// Asks for what the rows of a part of a matrix begin with. Without it the gradient waits for memory longer than it takes
// to multiply: the parts of a segment are short.
MONOLITH_INLINE void PrefetchRows(const Rows<const float>& part, int64_t rows, int64_t width) {
  const int64_t ahead = std::min(width, kFloatsAhead);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < ahead; j += kFloatsPerLine) __builtin_prefetch(part.data + i * part.stride + j);
  }
}

struct ForwardLoop {
  const std::vector<int64_t>& begins;
  int64_t units;
  int64_t num_rows;
  const float* input;
  const float* weight;
  float* output;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t num_segments = begins.size() - 1, input_width = begins.back(), width = num_segments * units;
    for (int64_t row = 0; row < num_rows; row += kRowsPerBlock) {
      const int64_t rows = std::min(kRowsPerBlock, num_rows - row);
      for (int64_t f = 0; f < num_segments; ++f) {
        MatMul<kLanes, false>({input + row * input_width + begins[f], input_width, 1},
                              {weight + begins[f] * units, units}, rows, begins[f + 1] - begins[f], units,
                              {output + row * width + f * units, width});
      }
    }
  }
};

struct GradientLoop {
  const std::vector<int64_t>& begins;
  int64_t units;
  int64_t begin_row;
  int64_t end_row;
  const float* grad;
  const float* input;
  const float* transposed;
  float* input_grad;
  float* weight_grad;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t num_segments = begins.size() - 1, input_width = begins.back(), width = num_segments * units;
    for (int64_t row = begin_row; row < end_row; row += kRowsPerBlock) {
      const int64_t rows = std::min(kRowsPerBlock, end_row - row);
      for (int64_t f = 0; f < num_segments; ++f) {
        const int64_t begin = begins[f], size = begins[f + 1] - begin, at = row * input_width + begin;
        const float* g = grad + row * width + f * units;
        if (f + 1 < num_segments) {
          PrefetchRows({g + units, width}, rows, units);
          PrefetchRows({input + at + size, input_width}, rows, begins[f + 2] - begins[f + 1]);
        }
        MatMul<kLanes, false>({g, width, 1}, {transposed + begin * units, size}, rows, units, size,
                              {input_grad + at, input_width});
        MatMul<kLanes, true>({input + at, 1, input_width}, {g, width}, size, rows, units,
                             {weight_grad + begin * units, units});
      }
    }
  }
};

}  // namespace

FeatureInsight::FeatureInsight(const std::vector<int64_t>& segment_sizes, int64_t units) : begins_(1), units_(units) {
  for (int64_t size : segment_sizes) begins_.push_back(begins_.back() + size);
}

void FeatureInsight::Forward(int64_t num_rows, const float* input, const float* weight, float* output) const {
  RunVectorised(ForwardLoop{begins_, units_, num_rows, input, weight, output});
}

void FeatureInsight::TransposeWeight(const float* weight, float* transposed) const {
  for (int64_t f = 0; f < num_segments(); ++f) {
    const int64_t size = begins_[f + 1] - begins_[f], at = begins_[f] * units_;
    Transpose(weight + at, size, units_, transposed + at, size);
  }
}

void FeatureInsight::ChunkGradient(int64_t chunk, int64_t batch, const float* grad, const float* input,
                                   const float* transposed, float* input_grad, float* weight_grad) const {
  const int64_t n = num_chunks(batch);
  std::fill(weight_grad, weight_grad + weight_size(), 0.0f);
  RunVectorised(GradientLoop{begins_, units_, ChunkBegin(chunk, n, batch), ChunkBegin(chunk + 1, n, batch), grad, input,
                             transposed, input_grad, weight_grad});
}

}  // namespace monolith::layers
