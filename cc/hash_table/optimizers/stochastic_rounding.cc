// SPDX-License-Identifier: Apache-2.0
// Stochastic rounding (Gupta et al. 2015, https://arxiv.org/abs/1502.02551) of float32 weights to halves.
#include "cc/hash_table/optimizers/stochastic_rounding.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <utility>

#include "cc/hash_table/hashing.h"

namespace monolith {
namespace {

constexpr float kLargestHalf = 65504.0f;
constexpr float kSmallestNormalHalf = 0x1p-14f;
constexpr float kSmallestHalf = 0x1p-24f;  // also the distance of all halves below the smallest normal one
constexpr int kDroppedBits = 23 - 10;      // by which a float's fraction is longer

bool RoundsUp(float share, float draw) { return share > 0 && draw <= share; }

// SplitMix64, one stream a thread, numbered in the order in which threads come here.
float NextDraw() {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;
  static std::atomic<uint64_t> threads{0};
  thread_local uint64_t counter = Mix64(kGolden * (threads.fetch_add(1, std::memory_order_relaxed) + 1));
  counter += kGolden;
  return static_cast<float>(Mix64(counter) >> 40) * 0x1p-24f;
}

class StochasticRoundingOptimizer : public Optimizer {
 public:
  StochasticRoundingOptimizer(std::unique_ptr<Optimizer> base, int dim) : base_(std::move(base)), dim_(dim) {}

  int state_bytes() const override { return base_->state_bytes(); }
  const StateSchema* schema() const override { return base_->schema(); }
  void InitState(float* state) const override { base_->InitState(state); }
  bool needs_global_step() const override { return base_->needs_global_step(); }
  bool needs_looked_up() const override { return base_->needs_looked_up(); }

  void Step(float* w, float* state, const float* g, const StepContext& context) const override {
    base_->Step(w, state, g, context);
    for (int i = 0; i < dim_; ++i) w[i] = RoundToHalfStochastically(w[i], NextDraw());
  }

 private:
  const std::unique_ptr<Optimizer> base_;
  const int dim_;
};

}  // namespace

float RoundToHalfStochastically(float value, float draw) {
  const float magnitude = std::fabs(value);
  if (!std::isfinite(value) || magnitude == 0) return value;
  if (magnitude >= kLargestHalf) return std::copysign(kLargestHalf, value);
  if (magnitude < kSmallestNormalHalf) {
    const float units = magnitude / kSmallestHalf;  // exact, as is its split
    const float below = std::floor(units);
    return std::copysign((below + RoundsUp(units - below, draw)) * kSmallestHalf, value);
  }
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t dropped = bits & ((1u << kDroppedBits) - 1);
  bits -= dropped;
  if (RoundsUp(static_cast<float>(dropped) / (1u << kDroppedBits), draw)) bits += 1u << kDroppedBits;
  float rounded;
  std::memcpy(&rounded, &bits, 4);
  return rounded;
}

std::unique_ptr<Optimizer> NewStochasticRoundingOptimizer(std::unique_ptr<Optimizer> base, int dim) {
  return std::make_unique<StochasticRoundingOptimizer>(std::move(base), dim);
}

}  // namespace monolith
