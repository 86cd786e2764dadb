// SPDX-License-Identifier: Apache-2.0
// Where the largest of several numbers came from.
#ifndef CC_LAYERS_MAX_POOLING_H_
#define CC_LAYERS_MAX_POOLING_H_

#include <cstdint>
#include <vector>

namespace monolith::layers {

// The gradients of output[i] = max over k of inputs[k][i], for i in [begin, end): `grad[i]` goes to the first input that
// is not below the output, the others get 0. A NaN is below nothing, so then the first input gets it.
void MaxPoolingGradient(int64_t begin, int64_t end, const float* grad, const float* output,
                        const std::vector<const float*>& inputs, const std::vector<float*>& input_grads);

}  // namespace monolith::layers

#endif  // CC_LAYERS_MAX_POOLING_H_
