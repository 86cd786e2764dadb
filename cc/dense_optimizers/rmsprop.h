// SPDX-License-Identifier: Apache-2.0
// RMSprop with momentum, in two forms.
#ifndef CC_DENSE_OPTIMIZERS_RMSPROP_H_
#define CC_DENSE_OPTIMIZERS_RMSPROP_H_

#include <cstdint>

namespace monolith::dense_optimizers {

// One step for each of n weights, with g' = weight_decay * var + grad:
//
//   v += (1 - beta2) * (g'^2 - v)           second form: v = beta2 * v + g'^2
//   m = beta1 * m + learning_rate * g' / sqrt(v + epsilon)           ... / (sqrt(v) + epsilon)
//   var -= m
struct Rmsprop {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  bool update_slots = true;  // or nothing happens: m, which is a slot, is the step
  bool use_v2 = false;       // the second form

  // The arrays do not overlap.
  void Step(int64_t n, const float* grad, float* var, float* m, float* v) const;
};

}  // namespace monolith::dense_optimizers

#endif  // CC_DENSE_OPTIMIZERS_RMSPROP_H_
