// SPDX-License-Identifier: Apache-2.0
// Adamom: Adagrad over a decaying window, with momentum.
#ifndef CC_DENSE_OPTIMIZERS_ADAMOM_H_
#define CC_DENSE_OPTIMIZERS_ADAMOM_H_

#include <cstdint>

namespace monolith::dense_optimizers {

// One step for each of n weights, with g' = weight_decay * var + grad:
//
//   m = mom_decay * m + (1 - mom_decay) * g'
//   v = ada_decay * v + g'^2
//   c = ada_decay * c + 1                       how many squares v stands for
//   var -= learning_rate * m / sqrt(v / c + epsilon), or in the second form ... / (sqrt(v / c) + epsilon)
struct Adamom {
  float learning_rate, ada_decay, mom_decay, epsilon, weight_decay;
  bool update_slots = true;  // or m, v and c stay, and var moves by what they are; not at all where c is 0
  bool use_v2 = false;       // the second form

  // The arrays do not overlap.
  void Step(int64_t n, const float* grad, float* var, float* m, float* v, float* c) const;
};

}  // namespace monolith::dense_optimizers

#endif  // CC_DENSE_OPTIMIZERS_ADAMOM_H_
