// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/interaction.h"

#include <algorithm>
#include <vector>

#include "cc/layers/simd.h"
#include "cc/layers/small_matmul.h"

namespace monolith::layers {
namespace {

constexpr int64_t kRows = 16;  // a register of floats at the widest level

// Scratch of a few rows, transposed: [width, kRows]; the lanes of rows that are not there are 0.
class Panel {
 public:
  explicit Panel(int64_t width) : values_(width * kRows) {}

  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  Rows<const float> rows() const { return {data(), kRows}; }

  void Read(const float* from, int64_t num_rows, int64_t width) {
    if (num_rows < kRows) std::fill(values_.begin(), values_.end(), 0.0f);
    Transpose(from, num_rows, width, data(), kRows);
  }

  void Write(int64_t num_rows, int64_t width, float* to) const {
    for (int64_t i = 0; i < num_rows; ++i) {
      for (int64_t j = 0; j < width; ++j) to[i * width + j] = values_[j * kRows + i];
    }
  }

 private:
  std::vector<float> values_;
};

// pairs[h * m + j] = x[h] * x0[j] in every lane.
struct MakePairs {
  const InteractionShape& shape;
  const float* x;
  const float* x0;
  float* pairs;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t lane) const {
    float* to = pairs + lane;
    for (int64_t h = 0; h < shape.num_x; ++h) {
      Floats<kLanes> one, other;
      Load<kLanes>(x + h * kRows + lane, &one);
      for (int64_t j = 0; j < shape.num_x0; ++j, to += kRows) {
        Load<kLanes>(x0 + j * kRows + lane, &other);
        Store<kLanes>(one * other, to);
      }
    }
  }
};

// From the pairs' gradients to those of both factors.
struct SplitPairs {
  const InteractionShape& shape;
  const float* pair_grads;
  const float* x;
  const float* x0;
  float* x_grad;
  float* x0_grad;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t lane) const {
    const float* from = pair_grads + lane;
    for (int64_t h = 0; h < shape.num_x; ++h) {
      Floats<kLanes> one, other, other_sum, g, sum = {};
      Load<kLanes>(x + h * kRows + lane, &one);
      for (int64_t j = 0; j < shape.num_x0; ++j, from += kRows) {
        Load<kLanes>(from, &g);
        Load<kLanes>(x0 + j * kRows + lane, &other);
        Load<kLanes>(x0_grad + j * kRows + lane, &other_sum);
        sum += g * other;
        Store<kLanes>(other_sum + g * one, x0_grad + j * kRows + lane);
      }
      Store<kLanes>(sum, x_grad + h * kRows + lane);
    }
  }
};

struct InteractLoop {
  const InteractionShape& shape;
  int64_t num_rows;
  const float* x;
  const float* x0;
  const float* kernel;
  float* output;
  Panel* x_panel;
  Panel* x0_panel;
  Panel* pairs;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    for (int64_t row = 0; row < num_rows; row += kRows) {
      const int64_t rows = std::min(kRows, num_rows - row);
      x_panel->Read(x + row * shape.num_x, rows, shape.num_x);
      x0_panel->Read(x0 + row * shape.num_x0, rows, shape.num_x0);
      ForColumns<kLanes>(0, kRows, MakePairs{shape, x_panel->data(), x0_panel->data(), pairs->data()});
      MatMul<kLanes, false>({pairs->data(), 1, kRows}, {kernel, shape.units}, rows, shape.num_pairs(), shape.units,
                            {output + row * shape.units, shape.units});
    }
  }
};

struct GradientPanels {
  explicit GradientPanels(const InteractionShape& shape)
      : x(shape.num_x),
        x0(shape.num_x0),
        grad(shape.units),
        pairs(shape.num_pairs()),
        pair_grads(shape.num_pairs()),
        x_grad(shape.num_x),
        x0_grad(shape.num_x0) {}

  Panel x, x0, grad, pairs, pair_grads, x_grad, x0_grad;
};

struct GradientLoop {
  const InteractionShape& shape;
  int64_t begin_row;
  int64_t end_row;
  const float* grad;
  const float* x;
  const float* x0;
  const float* kernel;
  float* x_grad;
  float* x0_grad;
  float* kernel_grad;
  GradientPanels* p;

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t units = shape.units, num_pairs = shape.num_pairs();
    for (int64_t row = begin_row; row < end_row; row += kRows) {
      const int64_t rows = std::min(kRows, end_row - row);
      const float* g = grad + row * units;
      p->x.Read(x + row * shape.num_x, rows, shape.num_x);
      p->x0.Read(x0 + row * shape.num_x0, rows, shape.num_x0);
      p->grad.Read(g, rows, units);
      ForColumns<kLanes>(0, kRows, MakePairs{shape, p->x.data(), p->x0.data(), p->pairs.data()});
      MatMul<kLanes, true>({p->pairs.data(), kRows, 1}, {g, units}, num_pairs, rows, units, {kernel_grad, units});
      MatMul<kLanes, false>({kernel, units, 1}, p->grad.rows(), num_pairs, units, kRows, {p->pair_grads.data(), kRows});
      std::fill(p->x0_grad.data(), p->x0_grad.data() + shape.num_x0 * kRows, 0.0f);
      ForColumns<kLanes>(
          0, kRows,
          SplitPairs{shape, p->pair_grads.data(), p->x.data(), p->x0.data(), p->x_grad.data(), p->x0_grad.data()});
      p->x_grad.Write(rows, shape.num_x, x_grad + row * shape.num_x);
      p->x0_grad.Write(rows, shape.num_x0, x0_grad + row * shape.num_x0);
    }
  }
};

}  // namespace

void Interact(const InteractionShape& shape, int64_t num_rows, const float* x, const float* x0, const float* kernel,
              float* output) {
  Panel x_panel(shape.num_x), x0_panel(shape.num_x0), pairs(shape.num_pairs());
  RunVectorised(InteractLoop{shape, num_rows, x, x0, kernel, output, &x_panel, &x0_panel, &pairs});
}

void InteractGradient(const InteractionShape& shape, int64_t chunk, int64_t num_rows, const float* grad, const float* x,
                      const float* x0, const float* kernel, float* x_grad, float* x0_grad, float* kernel_grad) {
  const int64_t num_chunks = shape.num_chunks(num_rows);
  std::fill(kernel_grad, kernel_grad + shape.kernel_size(), 0.0f);
  GradientPanels panels(shape);
  RunVectorised(GradientLoop{shape, ChunkBegin(chunk, num_chunks, num_rows),
                             ChunkBegin(chunk + 1, num_chunks, num_rows), grad, x, x0, kernel, x_grad, x0_grad,
                             kernel_grad, &panels});
}

}  // namespace monolith::layers
