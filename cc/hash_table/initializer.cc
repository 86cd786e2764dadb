// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/initializer.h"

#include <algorithm>
#include <string>

#include "cc/hash_table/cpu_features.h"
#include "cc/hash_table/hashing.h"

namespace monolith {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;  // 2^64 / golden ratio: the step of SplitMix64's counter

class ConstantInitializer : public Initializer {
 public:
  explicit ConstantInitializer(float constant) : constant_(constant) {}
  bool depends_on_fid() const override { return false; }
  void Fill(int64_t, float* values, int dim) const override { std::fill(values, values + dim, constant_); }

 private:
  const float constant_;
};

struct UniformRange {
  float minval, maxval;
};

MONOLITH_INLINE void FillUniform(UniformRange range, uint64_t counter, float* __restrict values, int dim) {
  for (int i = 0; i < dim; ++i) {
    const uint64_t draw = Mix64(counter + kGolden * (static_cast<uint64_t>(i) + 1));
    const float fraction = static_cast<float>(static_cast<int32_t>(draw >> 40)) * 0x1p-24f;
    const float value = range.minval + fraction * (range.maxval - range.minval);
    values[i] = value < range.maxval ? value : range.minval;  // rounding may have reached the excluded end
  }
}

#if defined(__x86_64__)
MONOLITH_AVX512 void FillUniformAvx512(UniformRange range, uint64_t counter, float* values, int dim) {
  FillUniform(range, counter, values, dim);
}
#endif

// Uniform on [minval, maxval): a counter-based generator, SplitMix64 (Steele, Lea, Flood 2014) with a start that mixes
// seed, slice and fid, and the upper 24 bits of each draw as the fraction.
class RandomUniformInitializer : public Initializer {
 public:
  RandomUniformInitializer(const InitializerConfig& config, uint64_t seed, int slice)
      : range_{config.minval, config.maxval},
        stream_(Mix64(seed + kGolden * (slice + 1))),
        is_wide_(CurrentSimdLevel() >= SimdLevel::kAvx512) {
    if (!(range_.minval <= range_.maxval)) {
      throw TableError("random_uniform: minval " + std::to_string(range_.minval) + " is above maxval " +
                       std::to_string(range_.maxval) + "; swap them.");
    }
  }

  bool depends_on_fid() const override { return true; }
  void Fill(int64_t fid, float* values, int dim) const override {
    const uint64_t counter = Mix64(static_cast<uint64_t>(fid) ^ stream_);
#if defined(__x86_64__)
    if (is_wide_) return FillUniformAvx512(range_, counter, values, dim);
#endif
    FillUniform(range_, counter, values, dim);
  }

 private:
  const UniformRange range_;
  const uint64_t stream_;
  const bool is_wide_;  // vectors of 64-bit products
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
