// SPDX-License-Identifier: Apache-2.0
// FTRL-Proximal (McMahan et al. 2013, algorithm 1).
//
//   norm' = norm + g^2;   sigma = (sqrt(norm') - sqrt(norm)) / eta;   zero += g - sigma * w;   norm = norm'
//   w = eta * (sign(zero) * l1 - zero) / (sqrt(norm) + beta + l2 * eta)   if |zero| > l1,   else 0
//
// State in memory: norm, then zero. With eta 0 there is no step to take: weights stay as they are.
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"
#include "cc/hash_table/simd_step.h"

namespace monolith {
namespace {

class FtrlOptimizer : public Optimizer {
 public:
  FtrlOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        initial_(config.initial_accumulator_value),
        beta_(config.beta),
        l1_(config.l1_regularization_strength),
        l2_(config.l2_regularization_strength),
        schema_{3,
                {{1, StateField::Type::kRepeatedFloat, 4 * dim, dim}, {2, StateField::Type::kRepeatedFloat, 0, dim}}} {
    RequireNotNegative(config, "initial_accumulator_value", initial_);
    RequireNotNegative(config, "beta", beta_);
    RequireNotNegative(config, "l1_regularization_strength", l1_);
    RequireNotNegative(config, "l2_regularization_strength", l2_);
  }

  int state_bytes() const override { return 8 * dim_; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* state) const override {
    for (int i = 0; i < dim_; ++i) {
      state[i] = initial_;
      state[dim_ + i] = 0;
    }
  }

  void Step(float* w, float* state, const float* g, const StepContext& context) const override {
    const EntryStep step{w, state, g};
    StepEach(&step, 1, context);
  }

  void StepEach(const EntryStep* steps, int n, const StepContext& context) const override {
    if (context.learning_rate != 0) step_(*this, dim_, steps, n, context.learning_rate);
  }

  MONOLITH_INLINE void Run(float* __restrict w, float* __restrict state, const float* __restrict g, int dim,
                           float eta) const {
    const float beta = beta_, l1 = l1_, l2 = l2_ * eta;
    float* __restrict norm = state;
    float* __restrict zero = state + dim;
    for (int i = 0; i < dim; ++i) {
      const float next = norm[i] + g[i] * g[i];
      const float root = std::sqrt(next);
      const float sigma = (root - std::sqrt(norm[i])) / eta;
      zero[i] += g[i] - sigma * w[i];
      norm[i] = next;
      const float denominator = root + beta + l2;
      const float shrunk = std::copysign(l1, zero[i]) - zero[i];
      w[i] = std::fabs(zero[i]) > l1 && denominator > 0 ? eta * shrunk / denominator : 0.0f;
    }
  }

 private:
  const int dim_;
  const float initial_, beta_, l1_, l2_;
  const StateSchema schema_;
  const StepFunction<FtrlOptimizer> step_ = StepFor<FtrlOptimizer>(dim_);
};

const bool registered = RegisterOptimizer(
    "ftrl", [](const OptimizerConfig& config, int dim) { return std::make_unique<FtrlOptimizer>(config, dim); });

}  // namespace
}  // namespace monolith
