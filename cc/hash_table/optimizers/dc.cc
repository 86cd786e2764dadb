// SPDX-License-Identifier: Apache-2.0
// Delay compensation (Zheng et al. 2017, https://arxiv.org/abs/1609.08326, with a constant lambda): a step of the base
// optimizer with
//
//   g' = g + lambda * g^2 * (w - looked_up)
//
// where looked_up are the weights that the gradient was computed from. Where nothing has changed since, g' = g.
#include <memory>
#include <utility>
#include <vector>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class DcOptimizer : public Optimizer {
 public:
  DcOptimizer(std::unique_ptr<Optimizer> base, float lambda, int dim)
      : base_(std::move(base)), lambda_(lambda), dim_(dim) {}

  int state_bytes() const override { return base_->state_bytes(); }
  const StateSchema* schema() const override { return base_->schema(); }
  void InitState(float* state) const override { base_->InitState(state); }
  bool needs_global_step() const override { return base_->needs_global_step(); }
  bool needs_looked_up() const override { return true; }

  void Step(float* w, float* state, const float* g, const StepContext& context) const override {
    thread_local std::vector<float> compensated;
    compensated.resize(dim_);
    for (int i = 0; i < dim_; ++i) compensated[i] = g[i] + lambda_ * g[i] * g[i] * (w[i] - context.looked_up[i]);
    base_->Step(w, state, compensated.data(), context);
  }

 private:
  const std::unique_ptr<Optimizer> base_;
  const float lambda_;
  const int dim_;
};

std::unique_ptr<Optimizer> NewDcOptimizer(const OptimizerConfig& config, int dim) {
  RequireNotNegative(config, "lambda_", config.lambda);
  if (config.base == nullptr || config.base->name.empty()) {
    throw TableError("dc: base is unset; set the optimizer whose steps it compensates.");
  }
  if (config.base->name == "dc") throw TableError("dc: base is dc itself; set another optimizer.");
  return std::make_unique<DcOptimizer>(NewOptimizer(*config.base, dim), config.lambda, dim);
}

const bool registered = RegisterOptimizer("dc", NewDcOptimizer);

}  // namespace
}  // namespace monolith
