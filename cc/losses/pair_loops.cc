// SPDX-License-Identifier: Apache-2.0
#include "cc/losses/pair_loops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cc/hash_table/simd_step.h"

namespace monolith::losses {
namespace {

// Below it ln(1 + p) is p - p^2 / 2 to 3e-13 of itself, and above it 1 + p has lost no more than 1e-10 of p.
constexpr double kSmall = 1e-6;

constexpr double kLn2 = 0.693147180559945309417;
constexpr int kMantissaBits = 52;
constexpr int64_t kExponentBias = 1023;
constexpr uint64_t kMantissaMask = (uint64_t{1} << kMantissaBits) - 1;
constexpr uint64_t kOneBits = uint64_t{kExponentBias} << kMantissaBits;

// Returns 1 + p for large p and 1 for small p, whose share of the logarithm goes to `small`.
MONOLITH_INLINE double LargePart(double p, double* small) {
  const double s = p < kSmall ? p : 0.0;
  *small += s - 0.5 * s * s;
  return 1.0 + (p - s);
}

MONOLITH_INLINE void LogLoop(const double* __restrict factors, int64_t blocks, const double* __restrict scales,
                             LogSum* __restrict sum) {
  const double s0 = scales[0], s1 = scales[1], s2 = scales[2], s3 = scales[3];
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const double factor = factors[b * kLanes + l];
      double small = sum->small[l];
      const double first = LargePart(s0 * factor, &small) * LargePart(s1 * factor, &small);
      const double second = LargePart(s2 * factor, &small) * LargePart(s3 * factor, &small);
      const double product = sum->product[l] * (first * second);
      uint64_t bits;
      std::memcpy(&bits, &product, sizeof(bits));
      sum->exponent[l] += static_cast<int64_t>(bits >> kMantissaBits) - kExponentBias;
      bits = (bits & kMantissaMask) | kOneBits;
      std::memcpy(&sum->product[l], &bits, sizeof(bits));
      sum->small[l] = small;
    }
  }
}

MONOLITH_INLINE void SigmoidLoop(const double* __restrict factors, int64_t blocks, const double* __restrict scales,
                                 double* __restrict sums, double* __restrict totals) {
  const double s0 = scales[0], s1 = scales[1], s2 = scales[2], s3 = scales[3];
  double lanes[kScales][kLanes] = {};
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const double factor = factors[b * kLanes + l];
      const double p0 = s0 * factor, p1 = s1 * factor, p2 = s2 * factor, p3 = s3 * factor;
      const double u0 = 1.0 + p0, u1 = 1.0 + p1, u2 = 1.0 + p2, u3 = 1.0 + p3;
      const double u01 = u0 * u1, u23 = u2 * u3;
      const double inverse = 1.0 / (u01 * u23);
      const double inverse01 = inverse * u23, inverse23 = inverse * u01;
      const double g0 = p0 * (inverse01 * u1), g1 = p1 * (inverse01 * u0);
      const double g2 = p2 * (inverse23 * u3), g3 = p3 * (inverse23 * u2);
      sums[b * kLanes + l] += (g0 + g1) + (g2 + g3);
      lanes[0][l] += g0;
      lanes[1][l] += g1;
      lanes[2][l] += g2;
      lanes[3][l] += g3;
    }
  }
  for (int64_t k = 0; k < kScales; ++k) {
    for (int64_t l = 0; l < kLanes; ++l) totals[k] += lanes[k][l];
  }
}

#if defined(__x86_64__)
#define MONOLITH_AVX2 __attribute__((target("avx2")))

MONOLITH_AVX2 void LogAvx2(const double* factors, int64_t blocks, const double* scales, LogSum* sum) {
  LogLoop(factors, blocks, scales, sum);
}
MONOLITH_AVX512 void LogAvx512(const double* factors, int64_t blocks, const double* scales, LogSum* sum) {
  LogLoop(factors, blocks, scales, sum);
}
MONOLITH_AVX2 void SigmoidAvx2(const double* factors, int64_t blocks, const double* scales, double* sums,
                               double* totals) {
  SigmoidLoop(factors, blocks, scales, sums, totals);
}
MONOLITH_AVX512 void SigmoidAvx512(const double* factors, int64_t blocks, const double* scales, double* sums,
                                   double* totals) {
  SigmoidLoop(factors, blocks, scales, sums, totals);
}
#endif

}  // namespace

LogSum::LogSum() { std::fill(product, product + kLanes, 1.0); }

double LogSum::Total() const {
  double total = 0;
  for (int64_t l = 0; l < kLanes; ++l) total += std::log(product[l]) + kLn2 * exponent[l] + small[l];
  return total;
}

void AddLogs(const double* factors, int64_t blocks, const double* scales, LogSum* sum) {
#if defined(__x86_64__)
  if (CurrentSimdLevel() >= SimdLevel::kAvx512) return LogAvx512(factors, blocks, scales, sum);
  if (CurrentSimdLevel() >= SimdLevel::kAvx2) return LogAvx2(factors, blocks, scales, sum);
#endif
  LogLoop(factors, blocks, scales, sum);
}

void AddSigmoids(const double* factors, int64_t blocks, const double* scales, double* sums, double* totals) {
#if defined(__x86_64__)
  if (CurrentSimdLevel() >= SimdLevel::kAvx512) return SigmoidAvx512(factors, blocks, scales, sums, totals);
  if (CurrentSimdLevel() >= SimdLevel::kAvx2) return SigmoidAvx2(factors, blocks, scales, sums, totals);
#endif
  SigmoidLoop(factors, blocks, scales, sums, totals);
}

}  // namespace monolith::losses
