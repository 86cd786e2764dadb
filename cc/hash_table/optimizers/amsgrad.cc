// SPDX-License-Identifier: Apache-2.0
// AMSGrad (Reddi, Kale, Kumar 2018, https://openreview.net/forum?id=ryQu7f-RZ), with Adam's bias correction.
//
//   alpha = eta * sqrt(1 - p2) / (1 - p1);   g' = g + lambda * w
//   m += (g' - m)(1 - beta1);   v += (g'^2 - v)(1 - beta2);   vhat = max(vhat, v)
//   w -= m * alpha / (sqrt(vhat) + epsilon), with Nesterov momentum as in adam.cc
//
// State in memory: m, v, vhat, p1, p2.
#include <algorithm>
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class AmsgradOptimizer : public Optimizer {
 public:
  AmsgradOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        beta1_(config.beta1),
        beta2_(config.beta2),
        epsilon_(config.epsilon),
        lambda_(config.weight_decay_factor),
        nesterov_(config.use_nesterov),
        schema_{8,
                {{1, StateField::Type::kRepeatedFloat, 0, dim},
                 {2, StateField::Type::kRepeatedFloat, 4 * dim, dim},
                 {3, StateField::Type::kRepeatedFloat, 8 * dim, dim},
                 {4, StateField::Type::kFloat, 12 * dim, 1},
                 {5, StateField::Type::kFloat, 12 * dim + 4, 1}}} {
    RequireDecay(config, "beta1", beta1_);
    RequireDecay(config, "beta2", beta2_);
    RequirePositive(config, "epsilon", epsilon_);
  }

  int state_bytes() const override { return 12 * dim_ + 8; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* state) const override {
    for (int i = 0; i < 3 * dim_; ++i) state[i] = 0;
    state[3 * dim_] = beta1_;
    state[3 * dim_ + 1] = beta2_;
  }

  void Step(float* __restrict w, float* __restrict state, const float* __restrict g,
            const StepContext& context) const override {
    const float eta = context.learning_rate;
    float* __restrict m = state;
    float* __restrict v = state + dim_;
    float* __restrict vhat = state + 2 * dim_;
    float* __restrict powers = state + 3 * dim_;
    const float alpha = eta * std::sqrt(1 - powers[1]) / (1 - powers[0]);
    const float own = nesterov_ ? 1 - beta1_ : 0.0f;  // share of this step's gradient beside the momentum
    const float momentum = nesterov_ ? beta1_ : 1.0f;
    for (int i = 0; i < dim_; ++i) {
      const float gradient = g[i] + lambda_ * w[i];
      m[i] += (gradient - m[i]) * (1 - beta1_);
      v[i] += (gradient * gradient - v[i]) * (1 - beta2_);
      vhat[i] = std::max(vhat[i], v[i]);
      w[i] -= (own * gradient + momentum * m[i]) * alpha / (std::sqrt(vhat[i]) + epsilon_);
    }
    powers[0] *= beta1_;
    powers[1] *= beta2_;
  }

 private:
  const int dim_;
  const float beta1_, beta2_, epsilon_, lambda_;
  const bool nesterov_;
  const StateSchema schema_;
};

const bool registered = RegisterOptimizer(
    "amsgrad", [](const OptimizerConfig& config, int dim) { return std::make_unique<AmsgradOptimizer>(config, dim); });

}  // namespace
}  // namespace monolith
