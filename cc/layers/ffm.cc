// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/ffm.h"

#include <algorithm>
#include <vector>

#include "cc/layers/simd.h"
#include "cc/layers/small_matmul.h"

namespace monolith::layers {
namespace {

// One vector of the left with all of the right.
struct MultiplyOne {
  const FfmShape& shape;
  const float* left;  // [D]
  const float* right;
  float* output;  // [R, D]

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t column) const {
    Floats<kLanes> one, other;
    Load<kLanes>(left + column, &one);
    for (int64_t r = 0; r < shape.num_right; ++r) {
      Load<kLanes>(right + r * shape.dim + column, &other);
      Store<kLanes>(one * other, output + r * shape.dim + column);
    }
  }
};

struct MultiplyLoop {
  const FfmShape& shape;
  int64_t num_rows;
  const float* left;
  const float* right;
  float* output;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t dim = shape.dim, block = shape.num_right * dim;
    for (int64_t i = 0; i < num_rows * shape.num_left; ++i) {
      const float* row = right + i / shape.num_left * block;
      ForColumns<kLanes>(0, dim, MultiplyOne{shape, left + i * dim, row, output + i * block});
    }
  }
};

// kBlock vectors of the left at a time: their gradients stay in registers, and those of the right are read and written
// once for all of them.
template <int kBlock>
struct MultiplyGradientBlock {
  const FfmShape& shape;
  const float* grad;  // [kBlock, R, D]
  const float* left;  // [kBlock, D]
  const float* right;
  float* left_grad;  // [kBlock, D]
  float* right_grad;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t column) const {
    const int64_t dim = shape.dim, row = shape.num_right * dim;
    Floats<kLanes> lefts[kBlock], sums[kBlock] = {};
    for (int i = 0; i < kBlock; ++i) Load<kLanes>(left + i * dim + column, &lefts[i]);
    for (int64_t at = column; at < row; at += dim) {
      Floats<kLanes> other, other_sum, g;
      Load<kLanes>(right + at, &other);
      Load<kLanes>(right_grad + at, &other_sum);
      for (int i = 0; i < kBlock; ++i) {
        Load<kLanes>(grad + i * row + at, &g);
        sums[i] += g * other;
        other_sum += g * lefts[i];
      }
      Store<kLanes>(other_sum, right_grad + at);
    }
    for (int i = 0; i < kBlock; ++i) Store<kLanes>(sums[i], left_grad + i * dim + column);
  }
};

struct MultiplyGradientLoop {
  const FfmShape& shape;
  int64_t num_rows;
  const float* grad;
  const float* left;
  const float* right;
  float* left_grad;
  float* right_grad;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    std::fill(right_grad, right_grad + num_rows * shape.right_width(), 0.0f);
    for (int64_t b = 0; b < num_rows; ++b) {
      int64_t l = 0;
      for (; l + 4 <= shape.num_left; l += 4) Block<kLanes, 4>(b, l);
      for (; l < shape.num_left; ++l) Block<kLanes, 1>(b, l);
    }
  }

  template <int kLanes, int kBlock>
  MONOLITH_INLINE void Block(int64_t b, int64_t l) const {
    const int64_t first = b * shape.num_left + l, width = shape.right_width();
    const MultiplyGradientBlock<kBlock> block{shape,
                                              grad + first * width,
                                              left + first * shape.dim,
                                              right + b * width,
                                              left_grad + first * shape.dim,
                                              right_grad + b * width};
    ForColumns<kLanes>(0, shape.dim, block);
  }
};

constexpr int64_t kMostLanes = 16;
constexpr int64_t kRowsAtOnce = 8;  // transposed before any is read: a wide load waits for the narrow stores before it

// Inner products are a product of matrices: [L, D] with the right, transposed to [D, R]. R is rounded up to whole
// registers. What stands in the columns that are too many is overwritten by the next vector's products where R fits into
// one register, and else not copied.
struct DotLoop {
  const FfmShape& shape;
  int64_t num_rows;
  const float* left;
  const float* right;
  float* transposed;  // scratch, kRowsAtOnce times [D, R rounded up], zeros
  float* products;    // scratch, [L, R rounded up]
  float* output;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t num_left = shape.num_left, num_right = shape.num_right, width = num_left * num_right;
    const int64_t padded = (num_right + kLanes - 1) / kLanes * kLanes, size = shape.dim * padded;
    for (int64_t b = 0; b < num_rows; ++b) {
      const int64_t i = b % kRowsAtOnce;
      if (i == 0) TransposeRows(b, padded);
      // The last row's surplus would go beyond the output.
      const bool in_place = padded == kLanes && b + 1 < num_rows && width >= kLanes;
      const Rows<float> to = in_place ? Rows<float>{output + b * width, num_right} : Rows<float>{products, padded};
      MatMul<kLanes, false>({left + b * shape.left_width(), shape.dim, 1}, {transposed + i * size, padded}, num_left,
                            shape.dim, padded, to);
      for (int64_t l = 0; l < num_left && !in_place; ++l) {
        std::copy_n(products + l * padded, num_right, output + b * width + l * num_right);
      }
    }
  }

  MONOLITH_INLINE void TransposeRows(int64_t begin, int64_t padded) const {
    const int64_t end = std::min(begin + kRowsAtOnce, num_rows), dim = shape.dim;
    for (int64_t b = begin; b < end; ++b) {
      Transpose(right + b * shape.right_width(), shape.num_right, dim, transposed + (b - begin) * dim * padded, padded);
    }
  }
};

struct DotGradientLoop {
  const FfmShape& shape;
  int64_t num_rows;
  const float* grad;
  const float* left;
  const float* right;
  float* left_grad;
  float* right_grad;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t dim = shape.dim, num_left = shape.num_left, num_right = shape.num_right;
    for (int64_t b = 0; b < num_rows; ++b) {
      const float* g = grad + b * num_left * num_right;
      const int64_t at_left = b * shape.left_width(), at_right = b * shape.right_width();
      MatMul<kLanes, false>({g, num_right, 1}, {right + at_right, dim}, num_left, num_right, dim,
                            {left_grad + at_left, dim});
      MatMul<kLanes, false>({g, 1, num_right}, {left + at_left, dim}, num_right, num_left, dim,
                            {right_grad + at_right, dim});
    }
  }
};

}  // namespace

void Ffm(FfmKind kind, const FfmShape& shape, int64_t num_rows, const float* left, const float* right, float* output) {
  if (kind == FfmKind::kMultiply) {
    RunVectorised(MultiplyLoop{shape, num_rows, left, right, output});
    return;
  }
  const int64_t padded = shape.num_right + kMostLanes;
  std::vector<float> transposed(kRowsAtOnce * shape.dim * padded), products(shape.num_left * padded);
  RunVectorised(DotLoop{shape, num_rows, left, right, transposed.data(), products.data(), output});
}

void FfmGradient(FfmKind kind, const FfmShape& shape, int64_t num_rows, const float* grad, const float* left,
                 const float* right, float* left_grad, float* right_grad) {
  if (kind == FfmKind::kMultiply) {
    RunVectorised(MultiplyGradientLoop{shape, num_rows, grad, left, right, left_grad, right_grad});
  } else {
    RunVectorised(DotGradientLoop{shape, num_rows, grad, left, right, left_grad, right_grad});
  }
}

}  // namespace monolith::layers
