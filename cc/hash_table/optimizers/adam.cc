// SPDX-License-Identifier: Apache-2.0
// Adam (Kingma, Ba 2015, section 2's efficient form), with Nesterov momentum (Dozat 2016) on request.
//
//   alpha = eta * sqrt(1 - p2) / (1 - p1);   g' = g + lambda * w
//   m += (g' - m)(1 - beta1);   v += (g'^2 - v)(1 - beta2);   w -= m * alpha / (sqrt(v) + epsilon)
//
// p1, p2 are the powers of beta1 and beta2, one pair a slice and entry. State in memory: m, v, p1, p2.
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"
#include "cc/hash_table/simd_step.h"

namespace monolith {
namespace {

class AdamOptimizer : public Optimizer {
 public:
  AdamOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        beta1_(config.beta1),
        beta2_(config.beta2),
        epsilon_(config.epsilon),
        lambda_(config.weight_decay_factor),
        nesterov_(config.use_nesterov),
        schema_{7,
                {{1, StateField::Type::kRepeatedFloat, 0, dim},
                 {2, StateField::Type::kRepeatedFloat, 4 * dim, dim},
                 {3, StateField::Type::kFloat, 8 * dim, 1},
                 {4, StateField::Type::kFloat, 8 * dim + 4, 1}}} {
    RequireDecay(config, "beta1", beta1_);
    RequireDecay(config, "beta2", beta2_);
    RequirePositive(config, "epsilon", epsilon_);
  }

  int state_bytes() const override { return 8 * dim_ + 8; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* state) const override {
    for (int i = 0; i < 2 * dim_; ++i) state[i] = 0;
    state[2 * dim_] = beta1_;
    state[2 * dim_ + 1] = beta2_;
  }

  void Step(float* w, float* state, const float* g, const StepContext& context) const override {
    const EntryStep step{w, state, g};
    StepEach(&step, 1, context);
  }

  void StepEach(const EntryStep* steps, int n, const StepContext& context) const override {
    step_(*this, dim_, steps, n, context.learning_rate);
  }

  MONOLITH_INLINE void Run(float* __restrict w, float* __restrict state, const float* __restrict g, int dim,
                           float eta) const {
    const float lambda = lambda_, epsilon = epsilon_, new1 = 1 - beta1_, new2 = 1 - beta2_;
    float* __restrict m = state;
    float* __restrict v = state + dim;
    float* __restrict powers = state + 2 * dim;
    const float alpha = eta * std::sqrt(1 - powers[1]) / (1 - powers[0]);
    const float own = nesterov_ ? new1 : 0.0f;  // share of this step's gradient beside the momentum
    const float momentum = nesterov_ ? beta1_ : 1.0f;
    for (int i = 0; i < dim; ++i) {
      const float gradient = g[i] + lambda * w[i];
      m[i] += (gradient - m[i]) * new1;
      v[i] += (gradient * gradient - v[i]) * new2;
      w[i] -= (own * gradient + momentum * m[i]) * alpha / (std::sqrt(v[i]) + epsilon);
    }
    powers[0] *= beta1_;
    powers[1] *= beta2_;
  }

 private:
  const int dim_;
  const float beta1_, beta2_, epsilon_, lambda_;
  const bool nesterov_;
  const StateSchema schema_;
  const StepFunction<AdamOptimizer> step_ = StepFor<AdamOptimizer>(dim_);
};

const bool registered = RegisterOptimizer(
    "adam", [](const OptimizerConfig& config, int dim) { return std::make_unique<AdamOptimizer>(config, dim); });

}  // namespace
}  // namespace monolith
