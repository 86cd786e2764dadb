// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_COMPRESSOR_H_
#define CC_HASH_TABLE_COMPRESSOR_H_

#include <cstddef>
#include <memory>

#include "cc/hash_table/table_config.h"

namespace monolith {

// How a serving entry stores a slice.
class Compressor {
 public:
  virtual ~Compressor() = default;
  virtual size_t Bytes(int dim) const = 0;
  // `encoded` has Bytes(dim) bytes and any alignment, in both.
  virtual void Encode(const float* values, int dim, char* encoded) const = 0;
  virtual void Decode(const char* encoded, int dim, float* values) const = 0;
};

// Throws TableError for a name that is unset or unknown, or settings that make no sense.
void CheckCompressor(const CompressorConfig& config);

// Throws TableError as CheckCompressor does.
std::unique_ptr<Compressor> NewCompressor(const CompressorConfig& config);

}  // namespace monolith

#endif  // CC_HASH_TABLE_COMPRESSOR_H_
