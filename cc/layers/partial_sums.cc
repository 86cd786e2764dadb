// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/partial_sums.h"

#include <algorithm>

#include "cc/layers/simd.h"

namespace monolith::layers {
namespace {

constexpr int64_t kRowsPerChunk = 128;
constexpr int64_t kMostChunks = 16;

struct SumLoop {
  const float* partials;
  int64_t num_partials;
  int64_t size;
  int64_t begin;
  int64_t end;
  float* total;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t column) const {
    Floats<kLanes> sum, next;
    Load<kLanes>(partials + column, &sum);
    for (int64_t i = 1; i < num_partials; ++i) {
      Load<kLanes>(partials + i * size + column, &next);
      sum += next;
    }
    Store<kLanes>(sum, total + column);
  }

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    ForColumns<kLanes>(begin, end, *this);
  }
};

}  // namespace

int64_t NumChunks(int64_t num_rows, int64_t row_size, int64_t sum_size) {
  const int64_t most = std::min(kMostChunks, num_rows * row_size / std::max<int64_t>(sum_size, 1));
  return std::max<int64_t>(std::min(most, (num_rows + kRowsPerChunk - 1) / kRowsPerChunk), 1);
}

void SumPartials(const float* partials, int64_t num_partials, int64_t size, int64_t begin, int64_t end, float* total) {
  RunVectorised(SumLoop{partials, num_partials, size, begin, end, total});
}

}  // namespace monolith::layers
