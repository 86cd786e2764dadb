// SPDX-License-Identifier: Apache-2.0
// Adagrad (Duchi, Hazan, Singer 2011), without epsilon: the accumulator starts above zero.
//
//   g' = g + lambda * w;   norm += g'^2;   w -= eta / sqrt(norm) * g'
//
// A coordinate whose accumulator is still 0 has seen only zero gradients and stays as it is.
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"
#include "cc/hash_table/simd_step.h"

namespace monolith {
namespace {

class AdagradOptimizer : public Optimizer {
 public:
  AdagradOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        initial_(config.initial_accumulator_value),
        lambda_(config.weight_decay_factor),
        schema_{1, {{1, StateField::Type::kRepeatedFloat, 0, dim}}} {
    RequireNotNegative(config, "initial_accumulator_value", initial_);
  }

  int state_bytes() const override { return 4 * dim_; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* norm) const override {
    for (int i = 0; i < dim_; ++i) norm[i] = initial_;
  }

  void Step(float* w, float* norm, const float* g, const StepContext& context) const override {
    const EntryStep step{w, norm, g};
    StepEach(&step, 1, context);
  }

  void StepEach(const EntryStep* steps, int n, const StepContext& context) const override {
    step_(*this, dim_, steps, n, context.learning_rate);
  }

  MONOLITH_INLINE void Run(float* __restrict w, float* __restrict norm, const float* __restrict g, int dim,
                           float eta) const {
    const float lambda = lambda_;
    for (int i = 0; i < dim; ++i) {
      const float gradient = g[i] + lambda * w[i];
      norm[i] += gradient * gradient;
      const float step = eta / std::sqrt(norm[i]) * gradient;
      w[i] -= norm[i] > 0 ? step : 0.0f;
    }
  }

 private:
  const int dim_;
  const float initial_;
  const float lambda_;
  const StateSchema schema_;
  const StepFunction<AdagradOptimizer> step_ = StepFor<AdagradOptimizer>(dim_);
};

const bool registered = RegisterOptimizer(
    "adagrad", [](const OptimizerConfig& config, int dim) { return std::make_unique<AdagradOptimizer>(config, dim); });

}  // namespace
}  // namespace monolith
