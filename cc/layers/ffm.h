// SPDX-License-Identifier: Apache-2.0
// Field-aware factorization: every vector of one group of features with every vector of another.
//
// Rows are examples and independent of each other: callers divide them among threads as they like, with the same bits.
// A group is one matrix whose rows hold all its vectors, or a matrix for each vector; both are read where they lie.
#ifndef CC_LAYERS_FFM_H_
#define CC_LAYERS_FFM_H_

#include <cstdint>
#include <vector>

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

// Where the vectors of one group lie: number i of row b at vectors[i] + b * stride. With a stride of all vectors' floats
// they lie one behind the other.
template <typename Float>
struct FfmGroup {
  std::vector<Float*> vectors;
  int64_t stride;
};

// The group in the rows of one matrix, [B, num_vectors * dim]; of no rows it may be null.
template <typename Float>
FfmGroup<Float> FfmMatrix(Float* data, int64_t num_vectors, int64_t dim) {
  FfmGroup<Float> group{std::vector<Float*>(num_vectors), num_vectors * dim};
  for (int64_t i = 0; data != nullptr && i < num_vectors; ++i) group.vectors[i] = data + i * dim;
  return group;
}

// Rows [begin, end) of a batch.
struct FfmRows {
  int64_t begin;
  int64_t end;
};

// output[b, l * R + r] = left[b, l] * right[b, r], element by element or as an inner product, in the rows given.
void Ffm(FfmKind kind, const FfmShape& shape, const FfmRows& rows, const FfmGroup<const float>& left,
         const FfmGroup<const float>& right, float* output);

// The gradients with respect to both groups, in one pass over `grad`, which is like the output.
void FfmGradient(FfmKind kind, const FfmShape& shape, const FfmRows& rows, const float* grad,
                 const FfmGroup<const float>& left, const FfmGroup<const float>& right,
                 const FfmGroup<float>& left_grad, const FfmGroup<float>& right_grad);

}  // namespace monolith::layers

#endif  // CC_LAYERS_FFM_H_
