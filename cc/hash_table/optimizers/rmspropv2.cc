// SPDX-License-Identifier: Apache-2.0
// RMSProp whose accumulator takes the whole squared gradient. In float64 between loads and stores.
//
//   g' = g + lambda * w;   n = mu * n + g'^2;   w -= eta / (sqrt(n) + 1) * g'
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class RmspropV2Optimizer : public Optimizer {
 public:
  RmspropV2Optimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        mu_(config.momentum),
        lambda_(config.weight_decay_factor),
        schema_{12, {{1, StateField::Type::kRepeatedFloat, 0, dim}}} {
    RequireDecay(config, "momentum", config.momentum);
  }

  int state_bytes() const override { return 4 * dim_; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* n) const override {
    for (int i = 0; i < dim_; ++i) n[i] = 0;
  }

  void Step(float* __restrict w, float* __restrict n, const float* __restrict g,
            const StepContext& context) const override {
    const double eta = context.learning_rate;
    for (int i = 0; i < dim_; ++i) {
      const double gradient = g[i] + lambda_ * w[i];
      n[i] = static_cast<float>(mu_ * n[i] + gradient * gradient);
      w[i] = static_cast<float>(w[i] - eta / (std::sqrt(static_cast<double>(n[i])) + 1) * gradient);
    }
  }

 private:
  const int dim_;
  const double mu_, lambda_;  // what the two averages are computed in
  const StateSchema schema_;
};

const bool registered = RegisterOptimizer("rmspropv2", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<RmspropV2Optimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
