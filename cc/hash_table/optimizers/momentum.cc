// SPDX-License-Identifier: Apache-2.0
// Gradient descent with momentum (Polyak 1964), or with Nesterov's (Sutskever et al. 2013) on request.
//
//   dx = eta * (g + lambda * w);   n' = mu * n - dx
//   w += n',   or with Nesterov   w += (1 + mu) * n' - mu * n
#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class MomentumOptimizer : public Optimizer {
 public:
  MomentumOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        mu_(config.momentum),
        lambda_(config.weight_decay_factor),
        nesterov_(config.use_nesterov),
        schema_{9, {{1, StateField::Type::kRepeatedFloat, 0, dim}}} {
    RequireDecay(config, "momentum", mu_);
  }

  int state_bytes() const override { return 4 * dim_; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* velocity) const override {
    for (int i = 0; i < dim_; ++i) velocity[i] = 0;
  }

  void Step(float* __restrict w, float* __restrict velocity, const float* __restrict g,
            const StepContext& context) const override {
    const float eta = context.learning_rate;
    for (int i = 0; i < dim_; ++i) {
      const float old = velocity[i];
      velocity[i] = mu_ * old - eta * (g[i] + lambda_ * w[i]);
      w[i] += nesterov_ ? (1 + mu_) * velocity[i] - mu_ * old : velocity[i];
    }
  }

 private:
  const int dim_;
  const float mu_, lambda_;
  const bool nesterov_;
  const StateSchema schema_;
};

const bool registered = RegisterOptimizer("momentum", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<MomentumOptimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
