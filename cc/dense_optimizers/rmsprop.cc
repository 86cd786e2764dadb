// SPDX-License-Identifier: Apache-2.0
#include "cc/dense_optimizers/rmsprop.h"

#include <cmath>

namespace monolith::dense_optimizers {
namespace {

template <bool use_v2>
void Update(const Rmsprop& rule, int64_t n, const float* __restrict grad, float* __restrict var, float* __restrict m,
            float* __restrict v) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = rule.weight_decay * var[i] + grad[i];
    v[i] = use_v2 ? rule.beta2 * v[i] + g * g : v[i] + (g * g - v[i]) * (1 - rule.beta2);
    const float divisor = use_v2 ? std::sqrt(v[i]) + rule.epsilon : std::sqrt(v[i] + rule.epsilon);
    m[i] = rule.beta1 * m[i] + rule.learning_rate * g / divisor;
    var[i] -= m[i];
  }
}

}  // namespace

void Rmsprop::Step(int64_t n, const float* grad, float* var, float* m, float* v) const {
  if (!update_slots) return;
  use_v2 ? Update<true>(*this, n, grad, var, m, v) : Update<false>(*this, n, grad, var, m, v);
}

}  // namespace monolith::dense_optimizers
