// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/optimizers/dc.h"

#include <utility>
#include <vector>

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

  void Step(float* w, float* state, const float* g, const StepContext& context) const override {
    if (context.latest_weights == nullptr) return base_->Step(w, state, g, context);
    std::vector<float> compensated(g, g + dim_);
    for (int i = 0; i < dim_; ++i) compensated[i] += lambda_ * g[i] * g[i] * (w[i] - context.latest_weights[i]);
    base_->Step(w, state, compensated.data(), context);
  }

 private:
  const std::unique_ptr<Optimizer> base_;
  const float lambda_;
  const int dim_;
};

}  // namespace

std::unique_ptr<Optimizer> NewDcOptimizer(std::unique_ptr<Optimizer> base, float lambda, int dim) {
  return std::make_unique<DcOptimizer>(std::move(base), lambda, dim);
}

}  // namespace monolith
