// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent: w -= eta * g.
#include <limits>

#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/simd_step.h"

namespace monolith {
namespace {

// One multiplication a float: only long slices gain, and not from AVX-512, which was 5% slower in large tables.
constexpr SimdLimits kLimits = {64, std::numeric_limits<int>::max()};

class SgdOptimizer : public Optimizer {
 public:
  explicit SgdOptimizer(int dim) : dim_(dim) {}
  int state_bytes() const override { return 0; }
  const StateSchema* schema() const override { return &schema_; }
  void InitState(float*) const override {}

  void Step(float* w, float* state, const float* g, const StepContext& context) const override {
    const EntryStep step{w, state, g};
    StepEach(&step, 1, context);
  }

  void StepEach(const EntryStep* steps, int n, const StepContext& context) const override {
    step_(*this, dim_, steps, n, context.learning_rate);
  }

  MONOLITH_INLINE void Run(float* __restrict w, float*, const float* __restrict g, int dim, float eta) const {
    for (int i = 0; i < dim; ++i) w[i] -= eta * g[i];
  }

 private:
  const int dim_;
  const StateSchema schema_{2, {}};
  const StepFunction<SgdOptimizer> step_ = StepFor<SgdOptimizer>(dim_, kLimits);
};

const bool registered =
    RegisterOptimizer("sgd", [](const OptimizerConfig&, int dim) { return std::make_unique<SgdOptimizer>(dim); });

}  // namespace
}  // namespace monolith
