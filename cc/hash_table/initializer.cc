// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/initializer.h"

#include <algorithm>
#include <string>

#include "cc/hash_table/hashing.h"

namespace monolith {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;  // 2^64 / golden ratio: the step of SplitMix64's counter

class ConstantInitializer : public Initializer {
 public:
  explicit ConstantInitializer(float constant) : constant_(constant) {}
  void Fill(int64_t, float* values, int dim) const override { std::fill(values, values + dim, constant_); }

 private:
  const float constant_;
};

// Uniform on [minval, maxval): a counter-based generator, SplitMix64 (Steele, Lea, Flood 2014) with a start that mixes
// seed, slice and fid, and the upper 24 bits of each draw as the fraction.
class RandomUniformInitializer : public Initializer {
 public:
  RandomUniformInitializer(const InitializerConfig& config, uint64_t seed, int slice)
      : minval_(config.minval), maxval_(config.maxval), stream_(Mix64(seed + kGolden * (slice + 1))) {
    if (!(minval_ <= maxval_)) {
      throw TableError("random_uniform: minval " + std::to_string(minval_) + " is above maxval " +
                       std::to_string(maxval_) + "; swap them.");
    }
  }

  void Fill(int64_t fid, float* values, int dim) const override {
    uint64_t counter = Mix64(static_cast<uint64_t>(fid) ^ stream_);
    for (int i = 0; i < dim; ++i) {
      counter += kGolden;
      const float fraction = static_cast<float>(Mix64(counter) >> 40) * 0x1p-24f;
      const float value = minval_ + fraction * (maxval_ - minval_);
      values[i] = value < maxval_ ? value : minval_;  // rounding may have reached the excluded end
    }
  }

 private:
  const float minval_, maxval_;
  const uint64_t stream_;
};

}  // namespace

std::unique_ptr<Initializer> NewInitializer(const InitializerConfig& config, uint64_t seed, int slice) {
  switch (config.kind) {
    case InitializerConfig::Kind::kConstant:
      return std::make_unique<ConstantInitializer>(config.constant);
    case InitializerConfig::Kind::kRandomUniform:
      return std::make_unique<RandomUniformInitializer>(config, seed, slice);
    case InitializerConfig::Kind::kUnset:
      break;
  }
  throw TableError("the initializer is unset; set one of zeros, ones, constants, random_uniform.");
}

}  // namespace monolith
