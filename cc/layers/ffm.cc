// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/ffm.h"

#include <algorithm>
#include <vector>

#include "cc/layers/simd.h"
#include "cc/layers/small_matmul.h"

namespace monolith::layers {
namespace {

using Group = FfmGroup<const float>;
using Gradients = FfmGroup<float>;

// One vector of the left with all of the right.
struct MultiplyOne {
  const float* left;          // [D]
  const float* const* right;  // R vectors
  int64_t at;                 // of the row, in each
  int64_t num_right, dim;
  float* output;  // [R, D]

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t column) const {
    Floats<kLanes> one, other;
    Load<kLanes>(left + column, &one);
    for (int64_t r = 0; r < num_right; ++r) {
      Load<kLanes>(right[r] + at + column, &other);
      Store<kLanes>(one * other, output + r * dim + column);
    }
  }
};

struct MultiplyLoop {
  const FfmShape& shape;
  const FfmRows& rows;
  const Group& left;
  const Group& right;
  float* output;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t dim = shape.dim, block = shape.num_right * dim;
    float* to = output + rows.begin * shape.num_left * block;
    for (int64_t b = rows.begin; b < rows.end; ++b) {
      for (int64_t l = 0; l < shape.num_left; ++l, to += block) {
        const MultiplyOne one{
            left.vectors[l] + b * left.stride, right.vectors.data(), b * right.stride, shape.num_right, dim, to};
        ForColumns<kLanes>(0, dim, one);
      }
    }
  }
};

// kBlock vectors of the left at a time: their gradients stay in registers, and those of the right are read and written
// once for all of them. The first block finds none to be read.
template <int kBlock>
struct MultiplyGradientBlock {
  const FfmShape& shape;
  int64_t b, l;
  const float* grad;  // [kBlock, R, D]
  const Group& left;
  const Group& right;
  const Gradients& left_grad;
  const Gradients& right_grad;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t column) const {
    const int64_t row = shape.num_right * shape.dim;
    Floats<kLanes> lefts[kBlock], sums[kBlock] = {};
    for (int i = 0; i < kBlock; ++i) Load<kLanes>(left.vectors[l + i] + b * left.stride + column, &lefts[i]);
    const float* from = grad + column;
    for (int64_t r = 0; r < shape.num_right; ++r, from += shape.dim) {
      Floats<kLanes> other, other_sum = {}, g;
      float* const to = right_grad.vectors[r] + b * right_grad.stride + column;
      Load<kLanes>(right.vectors[r] + b * right.stride + column, &other);
      if (l > 0) Load<kLanes>(to, &other_sum);
      for (int i = 0; i < kBlock; ++i) {
        Load<kLanes>(from + i * row, &g);
        sums[i] += g * other;
        other_sum += g * lefts[i];
      }
      Store<kLanes>(other_sum, to);
    }
    for (int i = 0; i < kBlock; ++i) {
      Store<kLanes>(sums[i], left_grad.vectors[l + i] + b * left_grad.stride + column);
    }
  }
};

struct MultiplyGradientLoop {
  const FfmShape& shape;
  const FfmRows& rows;
  const float* grad;
  const Group& left;
  const Group& right;
  const Gradients& left_grad;
  const Gradients& right_grad;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    for (int64_t b = rows.begin; b < rows.end; ++b) {
      int64_t l = 0;
      for (; l + 4 <= shape.num_left; l += 4) Block<kLanes, 4>(b, l);
      for (; l < shape.num_left; ++l) Block<kLanes, 1>(b, l);
      if (l == 0) ClearRight(b);
    }
  }

  template <int kLanes, int kBlock>
  MONOLITH_INLINE void Block(int64_t b, int64_t l) const {
    const float* from = grad + (b * shape.num_left + l) * shape.right_width();
    ForColumns<kLanes>(0, shape.dim,
                       MultiplyGradientBlock<kBlock>{shape, b, l, from, left, right, left_grad, right_grad});
  }

  MONOLITH_INLINE void ClearRight(int64_t b) const {
    for (float* vector : right_grad.vectors) std::fill_n(vector + b * right_grad.stride, shape.dim, 0.0f);
  }
};

struct Copy {
  const float* from;
  float* to;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t column) const {
    Floats<kLanes> values;
    Load<kLanes>(from + column, &values);
    Store<kLanes>(values, to + column);
  }
};

// Rows of a group as matrices [n, D] without gaps: where they lie, or in a buffer, a row at a time.
template <typename Float>
class JoinedRow {
 public:
  JoinedRow(const FfmGroup<Float>& group, int64_t dim)
      : group_(group),
        dim_(dim),
        width_(static_cast<int64_t>(group.vectors.size()) * dim),
        buffer_(group.stride == width_ ? 0 : width_) {}

  // To be read until the next call.
  template <int kLanes>
  MONOLITH_INLINE const float* Read(int64_t b) {
    if (in_place()) return At(b);
    float* to = buffer_.data();
    for (Float* vector : group_.vectors) {
      ForColumns<kLanes>(0, dim_, Copy{vector + b * group_.stride, to});
      to += dim_;
    }
    return buffer_.data();
  }

  // Where to write row b, to be followed by Written(b).
  MONOLITH_INLINE float* ToWrite(int64_t b) { return in_place() ? At(b) : buffer_.data(); }

  template <int kLanes>
  MONOLITH_INLINE void Written(int64_t b) {
    if (in_place()) return;
    const float* from = buffer_.data();
    for (Float* vector : group_.vectors) {
      ForColumns<kLanes>(0, dim_, Copy{from, vector + b * group_.stride});
      from += dim_;
    }
  }

 private:
  bool in_place() const { return buffer_.empty(); }
  Float* At(int64_t b) const { return width_ ? group_.vectors[0] + b * width_ : nullptr; }

  const FfmGroup<Float>& group_;
  const int64_t dim_, width_;
  std::vector<float> buffer_;
};

constexpr int64_t kMostLanes = 16;
constexpr int64_t kRowsAtOnce = 8;  // transposed before any is read: a wide load waits for the narrow stores before it

// Inner products are a product of matrices: [L, D] with the right, transposed to [D, R]. R is rounded up to whole
// registers. What stands in the columns that are too many is overwritten by the next vector's products where R fits into
// one register, and else not copied.
struct DotLoop {
  const FfmShape& shape;
  const FfmRows& rows;
  JoinedRow<const float>& left;
  JoinedRow<const float>& right;
  float* transposed;  // scratch, kRowsAtOnce times [D, R rounded up], zeros
  float* products;    // scratch, [L, R rounded up]
  float* output;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t num_left = shape.num_left, num_right = shape.num_right, width = num_left * num_right;
    const int64_t padded = (num_right + kLanes - 1) / kLanes * kLanes, size = shape.dim * padded;
    for (int64_t b = rows.begin; b < rows.end; ++b) {
      const int64_t i = (b - rows.begin) % kRowsAtOnce;
      if (i == 0) TransposeRows<kLanes>(b, padded);
      // The last row's surplus would go beyond the rows given.
      const bool in_place = padded == kLanes && b + 1 < rows.end && width >= kLanes;
      const Rows<float> to = in_place ? Rows<float>{output + b * width, num_right} : Rows<float>{products, padded};
      MatMul<kLanes, false>({left.Read<kLanes>(b), shape.dim, 1}, {transposed + i * size, padded}, num_left, shape.dim,
                            padded, to);
      for (int64_t l = 0; l < num_left && !in_place; ++l) {
        std::copy_n(products + l * padded, num_right, output + b * width + l * num_right);
      }
    }
  }

  template <int kLanes>
  MONOLITH_INLINE void TransposeRows(int64_t begin, int64_t padded) const {
    const int64_t end = std::min(begin + kRowsAtOnce, rows.end), dim = shape.dim;
    for (int64_t b = begin; b < end; ++b) {
      Transpose(right.Read<kLanes>(b), shape.num_right, dim, transposed + (b - begin) * dim * padded, padded);
    }
  }
};

struct DotGradientLoop {
  const FfmShape& shape;
  const FfmRows& rows;
  const float* grad;
  JoinedRow<const float>& left;
  JoinedRow<const float>& right;
  JoinedRow<float>& left_grad;
  JoinedRow<float>& right_grad;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t dim = shape.dim, num_left = shape.num_left, num_right = shape.num_right;
    for (int64_t b = rows.begin; b < rows.end; ++b) {
      const float* g = grad + b * num_left * num_right;
      MatMul<kLanes, false>({g, num_right, 1}, {right.Read<kLanes>(b), dim}, num_left, num_right, dim,
                            {left_grad.ToWrite(b), dim});
      MatMul<kLanes, false>({g, 1, num_right}, {left.Read<kLanes>(b), dim}, num_right, num_left, dim,
                            {right_grad.ToWrite(b), dim});
      left_grad.Written<kLanes>(b);
      right_grad.Written<kLanes>(b);
    }
  }
};

}  // namespace

void Ffm(FfmKind kind, const FfmShape& shape, const FfmRows& rows, const Group& left, const Group& right,
         float* output) {
  if (kind == FfmKind::kMultiply) {
    RunVectorised(MultiplyLoop{shape, rows, left, right, output});
    return;
  }
  const int64_t padded = shape.num_right + kMostLanes;
  std::vector<float> transposed(kRowsAtOnce * shape.dim * padded), products(shape.num_left * padded);
  JoinedRow<const float> lefts(left, shape.dim), rights(right, shape.dim);
  RunVectorised(DotLoop{shape, rows, lefts, rights, transposed.data(), products.data(), output});
}

void FfmGradient(FfmKind kind, const FfmShape& shape, const FfmRows& rows, const float* grad, const Group& left,
                 const Group& right, const Gradients& left_grad, const Gradients& right_grad) {
  if (kind == FfmKind::kMultiply) {
    RunVectorised(MultiplyGradientLoop{shape, rows, grad, left, right, left_grad, right_grad});
    return;
  }
  JoinedRow<const float> lefts(left, shape.dim), rights(right, shape.dim);
  JoinedRow<float> left_grads(left_grad, shape.dim), right_grads(right_grad, shape.dim);
  RunVectorised(DotGradientLoop{shape, rows, grad, lefts, rights, left_grads, right_grads});
}

}  // namespace monolith::layers
