// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent: w -= eta * g.
#include "cc/hash_table/optimizer.h"

namespace monolith {
namespace {

class SgdOptimizer : public Optimizer {
 public:
  explicit SgdOptimizer(int dim) : dim_(dim) {}
  int state_bytes() const override { return 0; }
  const StateSchema* schema() const override { return &schema_; }
  void InitState(float*) const override {}

  void Step(float* __restrict w, float*, const float* __restrict g,
            const StepContext& context) const override {
    const float eta = context.learning_rate;
    for (int i = 0; i < dim_; ++i) w[i] -= eta * g[i];
  }

 private:
  const int dim_;
  const StateSchema schema_{2, {}};
};

const bool registered = RegisterOptimizer(
    "sgd", [](const OptimizerConfig&, int dim) { return std::make_unique<SgdOptimizer>(dim); });

}  // namespace
}  // namespace monolith
