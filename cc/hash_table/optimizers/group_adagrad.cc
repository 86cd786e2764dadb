// SPDX-License-Identifier: Apache-2.0
// Adagrad with one accumulator a slice and a group lasso, which makes whole slices exactly 0.
//
//   g' = g + lambda * w;   G += max g'^2;   alpha = eta / (beta + sqrt(G));   z = g' - w / alpha
//   w = -alpha * (|z| - l2) / |z| * z   if |z| >= l2,   else 0         (|z| is the Euclidean norm over the slice)
//
// computed as the proximal step that it is, u = w - alpha * g' = -alpha * z, w = (1 - alpha * l2 / |u|) * u, since that
// has no quotient 0/0 when eta or z is 0. A slice that has seen only zero gradients, with beta 0, stays as it is.
#include <algorithm>
#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class GroupAdagradOptimizer : public Optimizer {
 public:
  GroupAdagradOptimizer(const OptimizerConfig& config, int dim)
      : dim_(dim),
        initial_(config.initial_accumulator_value),
        beta_(config.beta),
        l2_(config.l2_regularization_strength),
        lambda_(config.weight_decay_factor) {
    RequireNotNegative(config, "initial_accumulator_value", initial_);
    RequireNotNegative(config, "beta", beta_);
    RequireNotNegative(config, "l2_regularization_strength", l2_);
  }

  int state_bytes() const override { return 4; }
  const StateSchema* schema() const override { return &schema_; }
  void InitState(float* sum) const override { *sum = initial_; }

  void Step(float* __restrict w, float* __restrict sum, const float* __restrict g,
            const StepContext& context) const override {
    float largest = 0;
    for (int i = 0; i < dim_; ++i) {
      const float gradient = g[i] + lambda_ * w[i];
      largest = std::max(largest, gradient * gradient);
    }
    *sum += largest;
    const float denominator = beta_ + std::sqrt(*sum);
    if (!(denominator > 0)) return;
    const float alpha = context.learning_rate / denominator;
    double squares = 0;
    for (int i = 0; i < dim_; ++i) {
      w[i] -= alpha * (g[i] + lambda_ * w[i]);
      squares += static_cast<double>(w[i]) * w[i];
    }
    const double norm = std::sqrt(squares);
    const double threshold = static_cast<double>(alpha) * l2_;
    const float kept = norm > threshold ? static_cast<float>(1 - threshold / norm) : 0.0f;
    for (int i = 0; i < dim_; ++i) w[i] *= kept;
  }

 private:
  const int dim_;
  const float initial_, beta_, l2_, lambda_;
  const StateSchema schema_{15, {{1, StateField::Type::kFloat, 0, 1}}};
};

const bool registered = RegisterOptimizer("group_adagrad", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<GroupAdagradOptimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
