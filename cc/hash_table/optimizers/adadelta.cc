// SPDX-License-Identifier: Apache-2.0
// Adadelta (Zeiler 2012, https://arxiv.org/abs/1212.5701), with a learning rate.
//
//   g' = g + lambda * w;   accum = rho * accum + (1 - rho) * g'^2
//   u = sqrt(accum_update + epsilon) / sqrt(accum + epsilon) * g';   w -= eta * u
//   accum_update = rho * accum_update + (1 - rho) * u^2
//
// State in memory: accum, then accum_update.
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class AdadeltaOptimizer : public Optimizer {
 public:
  AdadeltaOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        lambda_(config.weight_decay_factor),
        rho_(config.averaging_ratio),
        epsilon_(config.epsilon),
        schema_{6,
                {{1, StateField::Type::kRepeatedFloat, 0, dim}, {2, StateField::Type::kRepeatedFloat, 4 * dim, dim}}} {
    RequireDecay(config, "averaging_ratio", rho_);
    RequirePositive(config, "epsilon", epsilon_);
  }

  int state_bytes() const override { return 8 * dim_; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* state) const override {
    for (int i = 0; i < 2 * dim_; ++i) state[i] = 0;
  }

  void Step(float* __restrict w, float* __restrict state, const float* __restrict g,
            const StepContext& context) const override {
    const float eta = context.learning_rate;
    float* __restrict accum = state;
    float* __restrict accum_update = state + dim_;
    for (int i = 0; i < dim_; ++i) {
      const float gradient = g[i] + lambda_ * w[i];
      accum[i] = rho_ * accum[i] + (1 - rho_) * gradient * gradient;
      const float update = std::sqrt(accum_update[i] + epsilon_) / std::sqrt(accum[i] + epsilon_) * gradient;
      w[i] -= eta * update;
      accum_update[i] = rho_ * accum_update[i] + (1 - rho_) * update * update;
    }
  }

 private:
  const int dim_;
  const float lambda_, rho_, epsilon_;
  const StateSchema schema_;
};

const bool registered = RegisterOptimizer("adadelta", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<AdadeltaOptimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
