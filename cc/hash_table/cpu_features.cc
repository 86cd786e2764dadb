// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/cpu_features.h"

#include <atomic>

namespace monolith {
namespace {

SimdLevel Detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw")) {
    return SimdLevel::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return SimdLevel::kAvx2;
#endif
  return SimdLevel::kBaseline;
}

std::atomic<SimdLevel>& Current() {
  static std::atomic<SimdLevel> level{BestSimdLevel()};
  return level;
}

}  // namespace

SimdLevel BestSimdLevel() {
  static const SimdLevel best = Detect();
  return best;
}

SimdLevel CurrentSimdLevel() { return Current().load(std::memory_order_relaxed); }

void SetSimdLevelForTest(SimdLevel level) { Current().store(level, std::memory_order_relaxed); }

}  // namespace monolith
