// SPDX-License-Identifier: Apache-2.0
// FTRL-Proximal (McMahan et al. 2013, algorithm 1).
//
//   norm' = norm + g^2;   sigma = (sqrt(norm') - sqrt(norm)) / eta;   zero += g - sigma * w;   norm = norm'
//   w = eta * (sign(zero) * l1 - zero) / (sqrt(norm) + beta + l2 * eta)   if |zero| > l1,   else 0
//
// State in memory: norm, then zero. With eta 0 there is no step to take: weights stay as they are.
#include <cmath>

#include "cc/hash_table/optimizer.h"

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
    if (!(beta_ >= 0)) {
      throw TableError("ftrl: beta is " + std::to_string(beta_) + "; it must be >= 0. 0 gives plain FTRL.");
    }
  }

  int state_bytes() const override { return 8 * dim_; }
  const StateSchema* schema() const override { return &schema_; }

  void InitState(float* state) const override {
    for (int i = 0; i < dim_; ++i) {
      state[i] = initial_;
      state[dim_ + i] = 0;
    }
  }

  void Step(float* __restrict w, float* __restrict state, const float* __restrict g,
            const StepContext& context) const override {
    const float eta = context.learning_rate;
    if (eta == 0) return;
    float* __restrict norm = state;
    float* __restrict zero = state + dim_;
    for (int i = 0; i < dim_; ++i) {
      const float next = norm[i] + g[i] * g[i];
      const float root = std::sqrt(next);
      const float sigma = (root - std::sqrt(norm[i])) / eta;
      zero[i] += g[i] - sigma * w[i];
      norm[i] = next;
      const float denominator = root + beta_ + l2_ * eta;
      const float shrunk = std::copysign(l1_, zero[i]) - zero[i];
      w[i] = std::fabs(zero[i]) > l1_ && denominator > 0 ? eta * shrunk / denominator : 0.0f;
    }
  }

 private:
  const int dim_;
  const float initial_, beta_, l1_, l2_;
  const StateSchema schema_;
};

const bool registered = RegisterOptimizer("ftrl", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<FtrlOptimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
