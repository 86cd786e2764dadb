// SPDX-License-Identifier: Apache-2.0
// IEEE 754 half precision without compiler extensions.
#ifndef CC_HASH_TABLE_HALF_H_
#define CC_HASH_TABLE_HALF_H_

#include <cstdint>
#include <cstring>

namespace monolith {

// Rounds to nearest, ties to even; what is too large becomes infinity, NaN stays NaN.
inline uint16_t FloatToHalf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return sign | 0x7E00u;
  if (magnitude >= 0x47800000u) return sign | 0x7C00u;  // 65536 and above
  if (magnitude < 0x38800000u) {                        // below 2^-14: subnormal or zero
    // Adding 0.5 puts the half's unit, 2^-24, at the last bit of a float, which rounds there.
    float shifted;
    std::memcpy(&shifted, &magnitude, 4);
    shifted += 0.5f;
    uint32_t rounded;
    std::memcpy(&rounded, &shifted, 4);
    return sign | static_cast<uint16_t>(rounded - 0x3F000000u);
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  const uint32_t rounded = magnitude + 0xFFFu + odd;
  return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  const uint32_t mantissa = half & 0x3FFu;
  uint32_t bits;
  if (exponent == 0x1F) {
    bits = sign | 0x7F800000u | (mantissa << 13);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else {
    const float tiny = static_cast<float>(mantissa) * 0x1p-24f;
    std::memcpy(&bits, &tiny, 4);
    bits |= sign;
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

}  // namespace monolith

#endif  // CC_HASH_TABLE_HALF_H_
