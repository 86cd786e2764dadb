// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/compressor.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "cc/hash_table/fixed_r8.h"
#include "cc/hash_table/half.h"

namespace monolith {
namespace {

class Fp32Compressor : public Compressor {
 public:
  size_t Bytes(int dim) const override { return sizeof(float) * dim; }
  void Encode(const float* values, int dim, char* encoded) const override { std::memcpy(encoded, values, Bytes(dim)); }
  void Decode(const char* encoded, int dim, float* values) const override { std::memcpy(values, encoded, Bytes(dim)); }
};

// IEEE half precision, rounded to nearest even.
class Fp16Compressor : public Compressor {
 public:
  size_t Bytes(int dim) const override { return sizeof(uint16_t) * dim; }
  void Encode(const float* values, int dim, char* encoded) const override {
    for (int i = 0; i < dim; ++i) {
      const uint16_t half = FloatToHalf(values[i]);
      std::memcpy(encoded + 2 * i, &half, 2);
    }
  }
  void Decode(const char* encoded, int dim, float* values) const override {
    for (int i = 0; i < dim; ++i) {
      uint16_t half;
      std::memcpy(&half, encoded + 2 * i, 2);
      values[i] = HalfToFloat(half);
    }
  }
};

class FixedR8Compressor : public Compressor {
 public:
  explicit FixedR8Compressor(const CompressorConfig& config) : grid_(config.r) {}
  size_t Bytes(int dim) const override { return dim; }
  void Encode(const float* values, int dim, char* encoded) const override {
    for (int i = 0; i < dim; ++i) encoded[i] = static_cast<char>(grid_.Encode(values[i]));
  }
  void Decode(const char* encoded, int dim, float* values) const override {
    for (int i = 0; i < dim; ++i) values[i] = grid_.Decode(static_cast<int8_t>(encoded[i]));
  }

 private:
  const FixedR8Grid grid_;
};

// The sign of amplitude * tanh(init_scale * x), a byte a float; 0 and NaN count as negative.
class OneBitCompressor : public Compressor {
 public:
  explicit OneBitCompressor(const CompressorConfig& config) : config_(config) {}
  size_t Bytes(int dim) const override { return dim; }
  void Encode(const float* values, int dim, char* encoded) const override {
    for (int i = 0; i < dim; ++i) {
      encoded[i] = config_.amplitude * std::tanh(config_.init_scale * values[i]) > 0 ? 1 : -1;
    }
  }
  void Decode(const char* encoded, int dim, float* values) const override {
    for (int i = 0; i < dim; ++i) values[i] = static_cast<int8_t>(encoded[i]) * config_.amplitude;
  }

 private:
  const CompressorConfig config_;
};

void CheckFixedR8(const CompressorConfig& config) {
  if (config.r > 0 && std::isfinite(config.r)) return;
  throw TableError("fixed_r8: r is " + std::to_string(config.r) + "; it must be > 0, half the width of the range.");
}

void CheckOneBit(const CompressorConfig& config) {
  if (config.step_size < 1) {
    throw TableError("one_bit: step_size is " + std::to_string(config.step_size) + "; it must be at least 1 step.");
  }
  if (!(config.init_scale > 0)) {
    throw TableError("one_bit: init_scale is " + std::to_string(config.init_scale) + "; it must be > 0.");
  }
  if (!(config.max_scale > 0)) {
    throw TableError("one_bit: max_scale is " + std::to_string(config.max_scale) + "; it must be > 0.");
  }
}

constexpr char kNames[] = "fp32, fp16, fixed_r8, one_bit";

}  // namespace

void CheckCompressor(const CompressorConfig& config) {
  if (config.name == "fp32" || config.name == "fp16") return;
  if (config.name == "fixed_r8") return CheckFixedR8(config);
  if (config.name == "one_bit") return CheckOneBit(config);
  if (config.name.empty()) throw TableError(std::string("the compressor is unset; set one of ") + kNames + ".");
  throw TableError("the compressor '" + config.name + "' is unknown; use one of " + kNames + ".");
}

std::unique_ptr<Compressor> NewCompressor(const CompressorConfig& config) {
  CheckCompressor(config);
  if (config.name == "fp32") return std::make_unique<Fp32Compressor>();
  if (config.name == "fp16") return std::make_unique<Fp16Compressor>();
  if (config.name == "fixed_r8") return std::make_unique<FixedR8Compressor>(config);
  return std::make_unique<OneBitCompressor>(config);
}

}  // namespace monolith
