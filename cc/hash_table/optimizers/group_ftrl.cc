// SPDX-License-Identifier: Apache-2.0
// FTRL whose L1 term acts on the slice as a group, which makes whole slices exactly 0 (Ni et al., "Feature selection
// for Facebook feed ranking system via a group-sparsity-regularized training algorithm", CIKM 2019).
//
//   norm' = norm + g^2;   sigma = (sqrt(norm') - sqrt(norm)) / eta;   zero += g - sigma * w;   norm = norm'
//   Z = Euclidean norm of zero over the slice
//   w = eta * zero * (l1 - Z) / Z / (sqrt(norm) + beta + l2 * eta)   if Z > l1,   else 0
//
// State in memory: norm, then zero. With eta 0 there is no step to take: weights stay as they are.
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class GroupFtrlOptimizer : public Optimizer {
 public:
  GroupFtrlOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        initial_(config.initial_accumulator_value),
        beta_(config.beta),
        l1_(config.l1_regularization_strength),
        l2_(config.l2_regularization_strength),
        schema_{13,
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

  void Step(float* __restrict w, float* __restrict state, const float* __restrict g,
            const StepContext& context) const override {
    const float eta = context.learning_rate;
    if (eta == 0) return;
    float* __restrict norm = state;
    float* __restrict zero = state + dim_;
    double squares = 0;
    for (int i = 0; i < dim_; ++i) {
      const float next = norm[i] + g[i] * g[i];
      const float sigma = (std::sqrt(next) - std::sqrt(norm[i])) / eta;
      zero[i] += g[i] - sigma * w[i];
      norm[i] = next;
      squares += static_cast<double>(zero[i]) * zero[i];
    }
    const float length = static_cast<float>(std::sqrt(squares));
    const float factor = length > l1_ ? eta * ((l1_ - length) / length) : 0.0f;
    for (int i = 0; i < dim_; ++i) {
      const float denominator = beta_ + std::sqrt(norm[i]) + l2_ * eta;
      w[i] = denominator > 0 ? factor * zero[i] / denominator : 0.0f;
    }
  }

 private:
  const int dim_;
  const float initial_, beta_, l1_, l2_;
  const StateSchema schema_;
};

const bool registered = RegisterOptimizer("group_ftrl", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<GroupFtrlOptimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
