// SPDX-License-Identifier: Apache-2.0
// The first layer of an attention's tower, which sees each key k beside the query q and their product.
//
// An example has one query and T keys, all of H numbers. With kernels A for the key and P for the product, k A + (q * k) P
// is k (A + diag(q) P): one product of the keys with a matrix of the example's own, which is made once for all of its keys
// and stays in the near cache. So neither q * k nor its gradient is ever stored.
#ifndef CC_LAYERS_KEY_PROJECTION_H_
#define CC_LAYERS_KEY_PROJECTION_H_

#include <cstdint>

#include "cc/layers/partial_sums.h"

namespace monolith::layers {

struct KeyProjectionShape {
  int64_t num_keys;  // T
  int64_t width;     // H
  int64_t units;     // U

  int64_t kernel_size() const { return width * units; }
  // Into how many chunks a batch is cut for the gradient.
  int64_t num_chunks(int64_t batch) const {
    return NumChunks(batch, (num_keys + 1) * (width + units), 2 * kernel_size());
  }
};

// What is multiplied. The kernels of the gradient are transposed.
struct KeyProjectionFactors {
  const float* queries;     // [batch, H]
  const float* keys;        // [batch, T, H]
  const float* of_key;      // A: [H, U], transposed [U, H]
  const float* of_product;  // P: like A
};

// output[b, t] = own[b] + k A + (q * k) P with the query q of b and its key k at t, for `num_examples` examples.
void ProjectKeys(const KeyProjectionShape& shape, int64_t num_examples, const KeyProjectionFactors& factors,
                 const float* own, float* output);

struct KeyProjectionGradients {
  float* own;      // [batch, U]
  float* queries;  // [batch, H]
  float* keys;     // [batch, T, H]
};

// Gradients of one chunk's examples; all but `kernel_grads` are those of the whole batch. Its shares of the kernels'
// gradients go to `kernel_grads`, [2, U, H]: A's and P's, transposed.
void ProjectKeysGradient(const KeyProjectionShape& shape, int64_t chunk, int64_t batch, const float* grad,
                         const KeyProjectionFactors& factors, const KeyProjectionGradients& gradients,
                         float* kernel_grads);

}  // namespace monolith::layers

#endif  // CC_LAYERS_KEY_PROJECTION_H_
