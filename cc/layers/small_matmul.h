// SPDX-License-Identifier: Apache-2.0
// Products of matrices that fit into a near cache: what one example needs, or a few of them.
//
// Blocks of the result stay in registers over the whole depth. Each element is summed in the order of the depth,
// however rows and columns are blocked; simd.h tells what a SimdLevel may change.
#ifndef CC_LAYERS_SMALL_MATMUL_H_
#define CC_LAYERS_SMALL_MATMUL_H_

#include <algorithm>
#include <cstdint>

#include "cc/layers/simd.h"

namespace monolith::layers {

// The left factor, [rows, depth], anywhere in memory: element (i, j) lies at data[i * row + j * column]. With row and
// column exchanged it is the transposed matrix.
struct LeftFactor {
  const float* data;
  int64_t row;
  int64_t column;
};

// A matrix whose rows are contiguous and `stride` floats apart.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
};

// kRows rows and a register's width of columns of a * b + c, or of a * b.
template <int kRows, bool kAdd>
struct MatMulBlock {
  LeftFactor a;
  Rows<const float> b;
  Rows<float> c;
  int64_t depth;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t column) const {
    Floats<kLanes> sums[kRows] = {};
    if constexpr (kAdd) {
      for (int i = 0; i < kRows; ++i) Load<kLanes>(c.data + i * c.stride + column, &sums[i]);
    }
    const float* left = a.data;
    const float* right = b.data + column;
    for (int64_t j = 0; j < depth; ++j, left += a.column, right += b.stride) {
      Floats<kLanes> values;
      Load<kLanes>(right, &values);
      for (int i = 0; i < kRows; ++i) sums[i] += left[i * a.row] * values;
    }
    for (int i = 0; i < kRows; ++i) Store<kLanes>(sums[i], c.data + i * c.stride + column);
  }
};

template <int kLanes, int kRows, bool kAdd>
MONOLITH_INLINE int64_t MatMulRows(LeftFactor a, Rows<const float> b, int64_t row, int64_t rows, int64_t depth,
                                   int64_t columns, Rows<float> c) {
  for (; row + kRows <= rows; row += kRows) {
    const MatMulBlock<kRows, kAdd> block{
        {a.data + row * a.row, a.row, a.column}, b, {c.data + row * c.stride, c.stride}, depth};
    ForColumns<kLanes>(0, columns, block);
  }
  return row;
}

// c = a * b, or c += a * b with kAdd; a is [rows, depth], b [depth, columns], c [rows, columns]. c overlaps neither.
template <int kLanes, bool kAdd>
MONOLITH_INLINE void MatMul(const LeftFactor& a, const Rows<const float>& b, int64_t rows, int64_t depth,
                            int64_t columns, const Rows<float>& c) {
  if (depth == 0) {  // then a and b may be null
    for (int64_t i = 0; i < rows && !kAdd; ++i) std::fill_n(c.data + i * c.stride, columns, 0.0f);
    return;
  }
  int64_t row = MatMulRows<kLanes, 8, kAdd>(a, b, 0, rows, depth, columns, c);
  row = MatMulRows<kLanes, 4, kAdd>(a, b, row, rows, depth, columns, c);
  MatMulRows<kLanes, 1, kAdd>(a, b, row, rows, depth, columns, c);
}

// Four rows and four columns of it.
MONOLITH_INLINE void TransposeBlock(const float* from, int64_t columns, float* to, int64_t stride) {
  Floats<4> a, b, c, d;
  Load<4>(from, &a);
  Load<4>(from + columns, &b);
  Load<4>(from + 2 * columns, &c);
  Load<4>(from + 3 * columns, &d);
  const Floats<4> ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5),
                  ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
  const Floats<4> bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5),
                  bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
  Store<4>(__builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5), to);
  Store<4>(__builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7), to + stride);
  Store<4>(__builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5), to + 2 * stride);
  Store<4>(__builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7), to + 3 * stride);
}

// to[j, i] = from[i, j]; from is [rows, columns] without gaps, rows of `to` are `stride` apart.
inline void Transpose(const float* from, int64_t rows, int64_t columns, float* to, int64_t stride) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4) TransposeBlock(from + i * columns + j, columns, to + j * stride + i, stride);
    for (; j < columns; ++j) {
      for (int64_t k = i; k < i + 4; ++k) to[j * stride + k] = from[k * columns + j];
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * stride + i] = from[i * columns + j];
  }
}

}  // namespace monolith::layers

#endif  // CC_LAYERS_SMALL_MATMUL_H_
