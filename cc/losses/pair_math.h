// SPDX-License-Identifier: Apache-2.0
// Exponentials and logarithms that the compiler can vectorise: float ones are free of branches and calls, and right to
// about 2e-7 of the result; double ones are the library's. Not-a-numbers stay what they are.
#ifndef CC_LOSSES_PAIR_MATH_H_
#define CC_LOSSES_PAIR_MATH_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cc/hash_table/simd_step.h"

namespace monolith::losses {

// e^x for x <= 0; what is below e^-87 becomes e^-87, near the smallest normal float.
MONOLITH_INLINE float ExpOfNegative(float x) {
  constexpr float kLeast = -87.0f, kLog2E = 1.44269504f;
  // ln 2 in two parts, the first with few digits, so that n times it is exact.
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum's last bits hold the rounded number
  x = x < kLeast ? kLeast : x;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  // The series of e^r for |r| <= ln(2) / 2, its last terms moved to spread the error (those of Cephes' expf).
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float mantissa = p * r * r + r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << 23) + (uint32_t{127} << 23);
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return mantissa * power;
}
MONOLITH_INLINE double ExpOfNegative(double x) { return std::exp(x); }

// ln(1 + u) for u in [0, 1].
MONOLITH_INLINE float LogOfOnePlus(float u) {
  // 2 artanh(z), whose series ends fast for z <= 1/3.
  const float z = u / (2.0f + u), s = z * z;
  float p = 1.0f / 13;
  p = p * s + 1.0f / 11;
  p = p * s + 1.0f / 9;
  p = p * s + 1.0f / 7;
  p = p * s + 1.0f / 5;
  p = p * s + 1.0f / 3;
  return 2.0f * z + 2.0f * z * s * p;
}
MONOLITH_INLINE double LogOfOnePlus(double u) { return std::log1p(u); }

template <typename T>
MONOLITH_INLINE T AbsoluteOf(T x) {
  return x < 0 ? -x : x;
}

// ln(1 + e^x).
template <typename T>
MONOLITH_INLINE T Softplus(T x) {
  return (x < 0 ? T{0} : x) + LogOfOnePlus(ExpOfNegative(-AbsoluteOf(x)));
}

// 1 / (1 + e^-x).
template <typename T>
MONOLITH_INLINE T Sigmoid(T x) {
  const T u = ExpOfNegative(-AbsoluteOf(x));
  return (x < 0 ? u : T{1}) / (1 + u);
}

// Sigmoid(x) * Sigmoid(-x).
template <typename T>
MONOLITH_INLINE T SigmoidSlope(T x) {
  const T u = ExpOfNegative(-AbsoluteOf(x));
  return u / ((1 + u) * (1 + u));
}

}  // namespace monolith::losses

#endif  // CC_LOSSES_PAIR_MATH_H_
