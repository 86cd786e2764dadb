// SPDX-License-Identifier: Apache-2.0
// Adagrad whose weight decay may act on the weight instead of on the gradient (decoupled, as in Loshchilov, Hutter
// 2019, https://arxiv.org/abs/1711.05101).
//
//   g' = g (+ lambda * w unless decoupled);   norm += g'^2
//   w -= eta / sqrt(norm) * g' (+ eta * lambda * w if decoupled)
//
// The dynamic part that gave the config its name (enable_dynamic_wd, dynamic_wd_temperature, flip_direction) was never
// published as code or formula, so that enable_dynamic_wd is refused. The last_update_step of its dump belongs to that
// part and is not written.
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class DynamicWdAdagradOptimizer : public Optimizer {
 public:
  DynamicWdAdagradOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        initial_(config.initial_accumulator_value),
        decay_of_gradient_(config.decouple_weight_decay ? 0 : config.weight_decay_factor),
        decay_of_weight_(config.decouple_weight_decay ? config.weight_decay_factor : 0),
        schema_{4, {{1, StateField::Type::kRepeatedFloat, 0, dim}}} {
    RequireNotNegative(config, "initial_accumulator_value", initial_);
    if (config.enable_dynamic_wd) {
      throw TableError(
          "dynamic_wd_adagrad: enable_dynamic_wd is true, but no formula of the dynamic decay was ever published; set "
          "it to false, which leaves adagrad with the decay that decouple_weight_decay chooses.");
    }
  }

  int state_bytes() const override { return 4 * dim_; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* norm) const override {
    for (int i = 0; i < dim_; ++i) norm[i] = initial_;
  }

  void Step(float* __restrict w, float* __restrict norm, const float* __restrict g,
            const StepContext& context) const override {
    const float eta = context.learning_rate;
    for (int i = 0; i < dim_; ++i) {
      const float gradient = g[i] + decay_of_gradient_ * w[i];
      norm[i] += gradient * gradient;
      const float step = norm[i] > 0 ? eta / std::sqrt(norm[i]) * gradient : 0.0f;
      w[i] -= step + eta * decay_of_weight_ * w[i];
    }
  }

 private:
  const int dim_;
  const float initial_, decay_of_gradient_, decay_of_weight_;
  const StateSchema schema_;
};

const bool registered = RegisterOptimizer("dynamic_wd_adagrad", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<DynamicWdAdagradOptimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
