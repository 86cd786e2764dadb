// SPDX-License-Identifier: Apache-2.0
// A moving average of what arrives as the gradient: w = mu * w + (1 - mu) * g. The learning rate plays no part.
//
// It writes no message at all into a saved entry, unlike sgd, which writes an empty one.
#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/optimizer_checks.h"

namespace monolith {
namespace {

class MovingAverageOptimizer : public Optimizer {
 public:
  MovingAverageOptimizer(const OptimizerConfig& config, int dim) : dim_(dim), mu_(config.momentum) {
    RequireThat(mu_ >= 0 && mu_ <= 1, config, "momentum", mu_, "in [0, 1]");
  }

  int state_bytes() const override { return 0; }
  const StateSchema* schema() const override { return nullptr; }
  void InitState(float*) const override {}

  void Step(float* __restrict w, float*, const float* __restrict g, const StepContext&) const override {
    for (int i = 0; i < dim_; ++i) w[i] = mu_ * w[i] + (1 - mu_) * g[i];
  }

 private:
  const int dim_;
  const float mu_;
};

const bool registered = RegisterOptimizer("moving_average", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<MovingAverageOptimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
