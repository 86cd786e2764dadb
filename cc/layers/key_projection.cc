// SPDX-License-Identifier: Apache-2.0
#include "cc/layers/key_projection.h"

#include <algorithm>
#include <vector>

#include "cc/layers/simd.h"
#include "cc/layers/small_matmul.h"

namespace monolith::layers {
namespace {

// to[i] = base[i] + scale[i] * other[i], where scale is one number or an array.
struct ScaleAdd {
  const float* base;
  const float* scale;
  bool is_one_scale;
  const float* other;
  float* to;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t i) const {
    Floats<kLanes> sum, factor, values;
    Load<kLanes>(base + i, &sum);
    Load<kLanes>(other + i, &values);
    if (is_one_scale) {
      sum += *scale * values;
    } else {
      Load<kLanes>(scale + i, &factor);
      sum += factor * values;
    }
    Store<kLanes>(sum, to + i);
  }
};

struct ForwardLoop {
  const KeyProjectionShape& shape;
  int64_t num_examples;
  const KeyProjectionFactors& factors;
  const float* own;
  float* output;
  float* kernel;  // scratch: [H, U]

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t num_keys = shape.num_keys, width = shape.width, units = shape.units;
    for (int64_t b = 0; b < num_examples; ++b) {
      const float* query = factors.queries + b * width;
      for (int64_t h = 0; h < width; ++h) {
        const int64_t at = h * units;
        ForColumns<kLanes>(0, units,
                           ScaleAdd{factors.of_key + at, query + h, true, factors.of_product + at, kernel + at});
      }
      float* out = output + b * num_keys * units;
      for (int64_t t = 0; t < num_keys; ++t) std::copy_n(own + b * units, units, out + t * units);
      MatMul<kLanes, true>({factors.keys + b * num_keys * width, width, 1}, {kernel, units}, num_keys, width, units,
                           {out, units});
    }
  }
};

// From the gradient of the example's own kernel to those of A, P and the query; one unit of each, transposed.
struct SplitKernelGradient {
  const float* grad;
  const float* query;
  const float* of_product;
  float* of_key_grad;
  float* of_product_grad;
  float* query_grad;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t h) const {
    Floats<kLanes> g, factor, sum;
    Load<kLanes>(grad + h, &g);
    Load<kLanes>(of_key_grad + h, &sum);
    Store<kLanes>(sum + g, of_key_grad + h);
    Load<kLanes>(query + h, &factor);
    Load<kLanes>(of_product_grad + h, &sum);
    Store<kLanes>(sum + g * factor, of_product_grad + h);
    Load<kLanes>(of_product + h, &factor);
    Load<kLanes>(query_grad + h, &sum);
    Store<kLanes>(sum + g * factor, query_grad + h);
  }
};

// to[i] += from[i]
struct Add {
  const float* from;
  float* to;

  template <int kLanes>
  MONOLITH_INLINE void At(int64_t i) const {
    Floats<kLanes> sum, next;
    Load<kLanes>(to + i, &sum);
    Load<kLanes>(from + i, &next);
    Store<kLanes>(sum + next, to + i);
  }
};

struct GradientLoop {
  const KeyProjectionShape& shape;
  int64_t begin;
  int64_t end;
  const float* grad;
  const KeyProjectionFactors& factors;
  const KeyProjectionGradients& gradients;
  float* kernel_grads;
  float* kernel;  // scratch: [U, H]

  template <int kLanes>
  MONOLITH_INLINE void Run() const {
    const int64_t num_keys = shape.num_keys, width = shape.width, units = shape.units;
    for (int64_t b = begin; b < end; ++b) {
      const float* g = grad + b * num_keys * units;
      const float* query = factors.queries + b * width;
      const int64_t keys = b * num_keys * width;
      for (int64_t u = 0; u < units; ++u) {
        const int64_t at = u * width;
        ForColumns<kLanes>(0, width, ScaleAdd{factors.of_key + at, query, false, factors.of_product + at, kernel + at});
      }
      MatMul<kLanes, false>({g, units, 1}, {kernel, width}, num_keys, units, width, {gradients.keys + keys, width});
      MatMul<kLanes, false>({g, 1, units}, {factors.keys + keys, width}, units, num_keys, width, {kernel, width});
      Split<kLanes>(query, gradients.queries + b * width);
      float* own = gradients.own + b * units;
      std::fill_n(own, units, 0.0f);
      for (int64_t t = 0; t < num_keys; ++t) ForColumns<kLanes>(0, units, Add{g + t * units, own});
    }
  }

  template <int kLanes>
  MONOLITH_INLINE void Split(const float* query, float* query_grad) const {
    const int64_t width = shape.width;
    std::fill_n(query_grad, width, 0.0f);
    for (int64_t u = 0; u < shape.units; ++u) {
      const int64_t at = u * width;
      ForColumns<kLanes>(0, width,
                         SplitKernelGradient{kernel + at, query, factors.of_product + at, kernel_grads + at,
                                             kernel_grads + shape.kernel_size() + at, query_grad});
    }
  }
};

}  // namespace

void ProjectKeys(const KeyProjectionShape& shape, int64_t num_examples, const KeyProjectionFactors& factors,
                 const float* own, float* output) {
  std::vector<float> kernel(shape.kernel_size());
  RunVectorised(ForwardLoop{shape, num_examples, factors, own, output, kernel.data()});
}

void ProjectKeysGradient(const KeyProjectionShape& shape, int64_t chunk, int64_t batch, const float* grad,
                         const KeyProjectionFactors& factors, const KeyProjectionGradients& gradients,
                         float* kernel_grads) {
  const int64_t num_chunks = shape.num_chunks(batch);
  std::fill_n(kernel_grads, 2 * shape.kernel_size(), 0.0f);
  std::vector<float> kernel(shape.kernel_size());
  RunVectorised(GradientLoop{shape, ChunkBegin(chunk, num_chunks, batch), ChunkBegin(chunk + 1, num_chunks, batch),
                             grad, factors, gradients, kernel_grads, kernel.data()});
}

}  // namespace monolith::layers
