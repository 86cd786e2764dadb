// SPDX-License-Identifier: Apache-2.0
// RMSProp (Tieleman, Hinton 2012), with 1 in place of a small epsilon. In float64 between loads and stores.
//
//   g' = g + lambda * w;   n = mu * n + share * g'^2;   w -= eta / (sqrt(n) + 1) * g'
//
// The share is 1 - mu for "rmsprop"; the accumulator of "rmspropv2" takes the whole squared gradient: 1.
// eta is the learning-rate tensor's, as everywhere.
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class RmspropOptimizer : public Optimizer {
 public:
  RmspropOptimizer(const OptimizerConfig& config, int dim, int dump_member, double share)
      : dim_(dim),
        mu_(config.momentum),
        share_(share),
        lambda_(config.weight_decay_factor),
        schema_{dump_member, {{1, StateField::Type::kRepeatedFloat, 0, dim}}} {
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
      n[i] = static_cast<float>(mu_ * n[i] + share_ * gradient * gradient);
      w[i] = static_cast<float>(w[i] - eta / (std::sqrt(static_cast<double>(n[i])) + 1) * gradient);
    }
  }

 private:
  const int dim_;
  const double mu_, share_, lambda_;  // what the average is computed in
  const StateSchema schema_;
};

const bool registered = RegisterOptimizer("rmsprop", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<RmspropOptimizer>(config, dim, 11, 1 - static_cast<double>(config.momentum));
});

const bool registered_v2 = RegisterOptimizer("rmspropv2", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<RmspropOptimizer>(config, dim, 12, 1);
});

}  // namespace
}  // namespace monolith
