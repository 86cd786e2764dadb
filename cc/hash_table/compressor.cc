// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/compressor.h"

#include <cstring>

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

}  // namespace

std::unique_ptr<Compressor> NewCompressor(const CompressorConfig& config) {
  if (config.name == "fp32") return std::make_unique<Fp32Compressor>();
  if (config.name == "fp16") return std::make_unique<Fp16Compressor>();
  if (config.name.empty()) throw TableError("the compressor is unset; set fp32 or fp16.");
  throw TableError("the compressor '" + config.name + "' is not supported yet; use fp32 or fp16.");
}

}  // namespace monolith
