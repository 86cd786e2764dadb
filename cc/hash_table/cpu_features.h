// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_CPU_FEATURES_H_
#define CC_HASH_TABLE_CPU_FEATURES_H_

#define MONOLITH_INLINE __attribute__((always_inline)) inline

// Compiles a function, and what is inlined into it, for SimdLevel::kAvx512.
#if defined(__x86_64__)
#if defined(__clang__)
#define MONOLITH_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"), min_vector_width(512)))
#else
#define MONOLITH_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")))
#endif
#endif

namespace monolith {

// Which vector instructions arithmetic is compiled for; each level includes those before it. The baseline is what the
// target always has: SSE2 on x86-64, NEON on AArch64.
enum class SimdLevel { kBaseline = 0, kAvx2 = 1, kAvx512 = 2 };

// The highest level that this processor and operating system run.
SimdLevel BestSimdLevel();

// The level that objects made from now on use: the best, unless a test chose another.
SimdLevel CurrentSimdLevel();

// Requires: level <= BestSimdLevel().
void SetSimdLevelForTest(SimdLevel level);

}  // namespace monolith

#endif  // CC_HASH_TABLE_CPU_FEATURES_H_
