// SPDX-License-Identifier: Apache-2.0
// The product of a compressed interaction network's layer: all pairs of two groups of numbers, times a kernel.
//
// A row has H numbers x and m numbers x0. Their H * m products are as wide as the kernel is high, far wider than what
// goes in or comes out, so they are never stored: kRows rows at a time they are made in a panel [H * m, kRows] that
// stays in the cache, with the rows side by side so that each step works on whole registers.
#ifndef CC_LAYERS_INTERACTION_H_
#define CC_LAYERS_INTERACTION_H_

#include <cstdint>

#include "cc/layers/partial_sums.h"

namespace monolith::layers {

struct InteractionShape {
  int64_t num_x;   // H
  int64_t num_x0;  // m
  int64_t units;   // N

  int64_t num_pairs() const { return num_x * num_x0; }
  int64_t kernel_size() const { return num_pairs() * units; }
  // Into how many chunks rows are cut for the gradient.
  int64_t num_chunks(int64_t num_rows) const { return NumChunks(num_rows, num_x + num_x0 + units, kernel_size()); }
};

// output[r, n] = sum over h and j of x[r, h] * x0[r, j] * kernel[h * m + j, n], for `num_rows` rows.
void Interact(const InteractionShape& shape, int64_t num_rows, const float* x, const float* x0, const float* kernel,
              float* output);

// Gradients of one chunk's rows; all but `kernel_grad` are those of all rows. Its share of the kernel's gradient goes to
// `kernel_grad`, [H * m, N].
void InteractGradient(const InteractionShape& shape, int64_t chunk, int64_t num_rows, const float* grad, const float* x,
                      const float* x0, const float* kernel, float* x_grad, float* x0_grad, float* kernel_grad);

}  // namespace monolith::layers

#endif  // CC_LAYERS_INTERACTION_H_
