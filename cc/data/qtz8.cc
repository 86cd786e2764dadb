// SPDX-License-Identifier: Apache-2.0
#include "cc/data/qtz8.h"

#include <cstring>
#include <string>

#include "cc/data/data_error.h"
#include "cc/hash_table/half.h"

namespace monolith {
namespace data {
namespace {

constexpr size_t kMostPlain = 4, kHalf = 2;

uint16_t HalfAt(std::string_view bytes, size_t index) {
  uint16_t half;
  std::memcpy(&half, bytes.data() + kHalf * index, kHalf);
  return half;
}

// The middle of what was cut to this fp16.
float Middle(uint16_t half) {
  const uint16_t magnitude = half & 0x7FFF;
  if (magnitude == 0 || magnitude >= 0x7BFF) return HalfToFloat(half);  // zero; the largest, infinity, NaN
  return HalfToFloat(half) + (HalfToFloat(static_cast<uint16_t>(half + 1)) - HalfToFloat(half)) / 2;
}

}  // namespace

void DecodeQtz8(std::string_view column, std::string_view bytes, int64_t n, float* out) {
  bytes.remove_prefix(kQtz8Mark.size());
  const bool plain = bytes.size() <= kHalf * kMostPlain;
  const size_t count = plain ? bytes.size() / kHalf : bytes.size() - 2 * kHalf;
  if (count != static_cast<size_t>(n) || (plain && bytes.size() % kHalf != 0)) {
    throw DataError(DataError::Code::kInternal, "column '" + std::string(column) + "' holds " + std::to_string(count) +
                                                    " quantized values (" + std::to_string(bytes.size()) +
                                                    " bytes), but is asked for with shape " + std::to_string(n) + ".");
  }
  if (plain) {
    for (size_t i = 0; i < count; ++i) out[i] = Middle(HalfAt(bytes, i));
    return;
  }
  const float min = HalfToFloat(HalfAt(bytes, 0)), max = HalfToFloat(HalfAt(bytes, 1));
  const float step = (max - min) / 255;
  for (size_t i = 0; i < count; ++i) out[i] = min + static_cast<uint8_t>(bytes[2 * kHalf + i]) * step;
}

}  // namespace data
}  // namespace monolith
