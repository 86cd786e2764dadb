// SPDX-License-Identifier: Apache-2.0
#include "cc/dense_optimizers/adamom.h"

#include <cmath>

namespace monolith::dense_optimizers {
namespace {

void UpdateSlots(const Adamom& rule, int64_t n, const float* __restrict grad, const float* __restrict var,
                 float* __restrict m, float* __restrict v, float* __restrict c) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = rule.weight_decay * var[i] + grad[i];
    m[i] = rule.mom_decay * m[i] + (1 - rule.mom_decay) * g;
    v[i] = rule.ada_decay * v[i] + g * g;
    c[i] = rule.ada_decay * c[i] + 1;
  }
}

template <bool use_v2>
void Move(const Adamom& rule, int64_t n, const float* __restrict m, const float* __restrict v,
          const float* __restrict c, float* __restrict var) {
  for (int64_t i = 0; i < n; ++i) {
    const float mean = v[i] / (c[i] == 0 ? 1 : c[i]);
    const float divisor = use_v2 ? std::sqrt(mean) + rule.epsilon : std::sqrt(mean + rule.epsilon);
    const float step = rule.learning_rate * m[i] / divisor;
    var[i] -= c[i] == 0 ? 0 : step;
  }
}

}  // namespace

void Adamom::Step(int64_t n, const float* grad, float* var, float* m, float* v, float* c) const {
  if (update_slots) UpdateSlots(*this, n, grad, var, m, v, c);
  use_v2 ? Move<true>(*this, n, m, v, c, var) : Move<false>(*this, n, m, v, c, var);
}

}  // namespace monolith::dense_optimizers
