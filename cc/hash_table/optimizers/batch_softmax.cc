// SPDX-License-Identifier: Apache-2.0
// Estimates B, the interval in steps between two sightings of an item (Yi et al. 2019,
// https://dl.acm.org/doi/10.1145/3298689.3346996, algorithm 2).
//
//   B = (1 - eta) * B + eta * (step - A);   A = step
//
// B is the slice's one weight; the gradient only says that the item was seen. State: A, an int64 at any address.
#include <cstring>

#include "cc/hash_table/optimizer.h"

namespace monolith {
namespace {

class BatchSoftmaxOptimizer : public Optimizer {
 public:
  BatchSoftmaxOptimizer(const OptimizerConfig&, int dim) {
    if (dim != 1) {
      throw TableError("batch_softmax: dim_size is " + std::to_string(dim) + "; it must be 1, the interval in steps.");
    }
  }

  int state_bytes() const override { return sizeof(int64_t); }
  const StateSchema* schema() const override { return &schema_; }
  void InitState(float* last_seen) const override { std::memset(last_seen, 0, sizeof(int64_t)); }
  bool needs_global_step() const override { return true; }

  void Step(float* __restrict w, float* __restrict last_seen, const float*, const StepContext& context) const override {
    const float eta = context.learning_rate;
    int64_t last;
    std::memcpy(&last, last_seen, sizeof(last));
    *w = (1 - eta) * *w + eta * static_cast<float>(context.global_step - last);
    std::memcpy(last_seen, &context.global_step, sizeof(context.global_step));
  }

 private:
  const StateSchema schema_{14, {{1, StateField::Type::kInt64, 0, 1}}};
};

const bool registered = RegisterOptimizer("batch_softmax", [](const OptimizerConfig& config, int dim) {
  return std::make_unique<BatchSoftmaxOptimizer>(config, dim);
});

}  // namespace
}  // namespace monolith
