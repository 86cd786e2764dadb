// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/retriever.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "cc/hash_table/compressor.h"
#include "cc/hash_table/fixed_r8.h"

namespace monolith {
namespace {

// Quantises and dequantises; a straight-through estimator for the gradient.
class FixedR8Retriever : public Retriever {
 public:
  explicit FixedR8Retriever(const CompressorConfig& config) : grid_(config.r) {}

  void Read(const float* stored, int dim, float* embedding) const override {
    for (int i = 0; i < dim; ++i) embedding[i] = grid_.Decode(grid_.Encode(stored[i]));
  }
  bool scales_gradients() const override { return false; }
  void ScaleGradient(const float*, const float* gradient, int dim, int64_t, float* scaled) override {
    std::copy(gradient, gradient + dim, scaled);
  }

 private:
  const FixedR8Grid grid_;
};

// Reads amplitude * tanh(scale * x), which nears the +-amplitude of the one_bit compressor as the scale grows.
//
// The scale belongs to the slice, not to the entry, and is not saved. It starts at init_scale, and a gradient whose
// global step s is a multiple of step_size makes it min(init_scale * sqrt(1 + 0.005 * s), max_scale). The first
// gradient after a restart finds it as the last multiple before its step left it.
class OneBitRetriever : public Retriever {
 public:
  explicit OneBitRetriever(const CompressorConfig& config) : config_(config), scale_(config.init_scale) {}

  void Read(const float* stored, int dim, float* embedding) const override {
    const float scale = scale_.load(std::memory_order_relaxed);
    for (int i = 0; i < dim; ++i) embedding[i] = config_.amplitude * std::tanh(scale * stored[i]);
  }

  bool scales_gradients() const override { return true; }

  void ScaleGradient(const float* stored, const float* gradient, int dim, int64_t global_step, float* scaled) override {
    Refresh(global_step);
    const float scale = scale_.load(std::memory_order_relaxed);
    for (int i = 0; i < dim; ++i) {
      const float hyperbolic = std::tanh(scale * stored[i]);
      scaled[i] = config_.amplitude * scale * (1 - hyperbolic * hyperbolic) * gradient[i];
    }
  }

 private:
  void Refresh(int64_t global_step) {
    const int64_t since = global_step % config_.step_size;
    if (since != 0 && derived_.load(std::memory_order_relaxed)) return;
    const double growth = std::sqrt(1 + 0.005 * static_cast<double>(global_step - since));
    scale_.store(std::min(static_cast<float>(config_.init_scale * growth), config_.max_scale),
                 std::memory_order_relaxed);
    derived_.store(true, std::memory_order_relaxed);
  }

  const CompressorConfig config_;
  std::atomic<float> scale_;
  std::atomic<bool> derived_{false};  // from a global step
};

}  // namespace

std::unique_ptr<Retriever> NewRetriever(const CompressorConfig& config) {
  if (config.name.empty()) return nullptr;
  CheckCompressor(config);
  if (config.name == "fixed_r8") return std::make_unique<FixedR8Retriever>(config);
  if (config.name == "one_bit") return std::make_unique<OneBitRetriever>(config);
  return nullptr;
}

}  // namespace monolith
