// SPDX-License-Identifier: Apache-2.0
// Field-aware factorization: every vector of one group of features with every vector of another.
//
// Rows are examples and independent of each other: callers divide them among threads as they like, with the same bits.
#ifndef CC_LAYERS_FFM_H_
#define CC_LAYERS_FFM_H_

#include <cstdint>

namespace monolith::layers {

enum class FfmKind {
  kMultiply,  // L * R products of vectors: D floats each
  kDot,       // L * R inner products: one float each
};

// L vectors on the left and R on the right, of D floats each.
struct FfmShape {
  int64_t num_left;
  int64_t num_right;
  int64_t dim;

  int64_t left_width() const { return num_left * dim; }
  int64_t right_width() const { return num_right * dim; }
  int64_t output_width(FfmKind kind) const { return num_left * num_right * (kind == FfmKind::kDot ? 1 : dim); }
};

// output[l * R + r] = left[l] * right[r], element by element or as an inner product, in each of `num_rows` rows.
void Ffm(FfmKind kind, const FfmShape& shape, int64_t num_rows, const float* left, const float* right, float* output);

// The gradients with respect to both sides, in one pass over `grad`, which is like the output.
void FfmGradient(FfmKind kind, const FfmShape& shape, int64_t num_rows, const float* grad, const float* left,
                 const float* right, float* left_grad, float* right_grad);

}  // namespace monolith::layers

#endif  // CC_LAYERS_FFM_H_
