// SPDX-License-Identifier: Apache-2.0
// One formula, compiled for every SimdLevel.
//
// A rule is a class with the loop of its step in an inlined member
//
//   MONOLITH_INLINE void Run(float* w, float* state, const float* g, float learning_rate) const;
//
// and StepFor<Rule>() returns a function that runs it. The compiler vectorises the loop once for each level, through
// function attributes: no flag of the build names an instruction set, so one library runs everywhere. Nothing is
// reordered, fused or approximated on the way, so that every level gives the same bits.
#ifndef CC_HASH_TABLE_SIMD_STEP_H_
#define CC_HASH_TABLE_SIMD_STEP_H_

#include "cc/hash_table/cpu_features.h"

#define MONOLITH_INLINE __attribute__((always_inline)) inline

namespace monolith {

// `w`, `state` and `g` do not overlap.
template <typename Rule>
using StepFunction = void (*)(const Rule& rule, float* __restrict w, float* __restrict state, const float* __restrict g,
                              float learning_rate);

template <typename Rule>
void BaselineStep(const Rule& rule, float* __restrict w, float* __restrict state, const float* __restrict g,
                  float learning_rate) {
  rule.Run(w, state, g, learning_rate);
}

#if defined(__x86_64__)
#if defined(__clang__)
#define MONOLITH_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"), min_vector_width(512)))
#else
#define MONOLITH_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")))
#endif

template <typename Rule>
__attribute__((target("avx2"))) void Avx2Step(const Rule& rule, float* __restrict w, float* __restrict state,
                                              const float* __restrict g, float learning_rate) {
  rule.Run(w, state, g, learning_rate);
}

template <typename Rule>
MONOLITH_AVX512 void Avx512Step(const Rule& rule, float* __restrict w, float* __restrict state,
                                const float* __restrict g, float learning_rate) {
  rule.Run(w, state, g, learning_rate);
}
#endif

// The least dims for which a level is used. Measured on a Zen 5 with GCC 12, bare and through tables of 1e4 and 1e6
// entries: below them a level gains nothing, since what is left over of a wide vector runs in narrow steps, and since
// wide loads wait for the narrow stores that copied the entry (relaxed_memory.h).
struct SimdLimits {
  int avx2 = 8;
  int avx512 = 32;  // and a multiple of 8
};

// The function for slices of `dim` floats.
template <typename Rule>
StepFunction<Rule> StepFor(int dim, const SimdLimits& limits = {}) {
  const SimdLevel level = CurrentSimdLevel();
#if defined(__x86_64__)
  if (level >= SimdLevel::kAvx512 && dim >= limits.avx512 && dim % 8 == 0) return &Avx512Step<Rule>;
  if (level >= SimdLevel::kAvx2 && dim >= limits.avx2) return &Avx2Step<Rule>;
#else
  static_cast<void>(level);
  static_cast<void>(dim);
  static_cast<void>(limits);
#endif
  return &BaselineStep<Rule>;
}

}  // namespace monolith

#endif  // CC_HASH_TABLE_SIMD_STEP_H_
