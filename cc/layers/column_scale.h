// SPDX-License-Identifier: Apache-2.0
// The gradients of a matrix whose columns are multiplied by a number each, in one pass over it.
#ifndef CC_LAYERS_COLUMN_SCALE_H_
#define CC_LAYERS_COLUMN_SCALE_H_

#include <cstdint>

#include "cc/layers/partial_sums.h"

namespace monolith::layers {

// Into how many chunks rows are cut for the gradient.
inline int64_t ColumnScaleChunks(int64_t num_rows, int64_t width) { return NumChunks(num_rows, 2 * width, width); }

// Of y[r, i] = x[r, i] * scale[i], for one chunk's rows; all but `scale_grad` are those of all rows. The chunk's share of
// the gradient of `scale` goes to `scale_grad`, [width].
void ColumnScaleGradient(int64_t chunk, int64_t num_rows, int64_t width, const float* grad, const float* x,
                         const float* scale, float* x_grad, float* scale_grad);

}  // namespace monolith::layers

#endif  // CC_LAYERS_COLUMN_SCALE_H_
