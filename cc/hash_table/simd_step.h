// SPDX-License-Identifier: Apache-2.0
// One formula, compiled for every SimdLevel.
//
// A rule is a class with the loop of its step in an inlined member
//
//   MONOLITH_INLINE void Run(float* w, float* state, const float* g, int dim, float learning_rate) const;
//
// and StepFor<Rule>() returns a function that runs it on a group of entries: what they have in common is read once, and
// the usual dims have code of their own, without a loop's ends. The compiler vectorises the loop once for each level, through
// function attributes: no flag of the build names an instruction set, so one library runs everywhere. Nothing is
// reordered, fused or approximated on the way, so that every level gives the same bits.
#ifndef CC_HASH_TABLE_SIMD_STEP_H_
#define CC_HASH_TABLE_SIMD_STEP_H_

#include "cc/hash_table/cpu_features.h"
#include "cc/hash_table/optimizer.h"

namespace monolith {

template <typename Rule>
using StepFunction = void (*)(const Rule& rule, int dim, const EntryStep* steps, int n, float learning_rate);

template <typename Rule>
MONOLITH_INLINE void RunEach(const Rule& rule, int dim, const EntryStep* steps, int n, float learning_rate) {
  for (int i = 0; i < n; ++i) {
    float* __restrict w = steps[i].weights;
    float* __restrict state = steps[i].state;
    const float* __restrict g = steps[i].gradient;
    rule.Run(w, state, g, dim, learning_rate);
  }
}

template <typename Rule>
MONOLITH_INLINE void RunGroup(const Rule& rule, int dim, const EntryStep* steps, int n, float learning_rate) {
  switch (dim) {
    case 8:
      return RunEach(rule, 8, steps, n, learning_rate);
    case 16:
      return RunEach(rule, 16, steps, n, learning_rate);
    case 32:
      return RunEach(rule, 32, steps, n, learning_rate);
    default:
      return RunEach(rule, dim, steps, n, learning_rate);
  }
}

template <typename Rule>
void BaselineStep(const Rule& rule, int dim, const EntryStep* steps, int n, float learning_rate) {
  RunGroup(rule, dim, steps, n, learning_rate);
}

#if defined(__x86_64__)
template <typename Rule>
__attribute__((target("avx2"))) void Avx2Step(const Rule& rule, int dim, const EntryStep* steps, int n,
                                              float learning_rate) {
  RunGroup(rule, dim, steps, n, learning_rate);
}

template <typename Rule>
MONOLITH_AVX512 void Avx512Step(const Rule& rule, int dim, const EntryStep* steps, int n, float learning_rate) {
  RunGroup(rule, dim, steps, n, learning_rate);
}
#endif

// The least dims for which a level is used. Measured on a Zen 5 with GCC 12, through tables of 1e4 and 1e6 entries: below
// them a level gains nothing, since what is left over of a wide vector runs in narrow steps.
struct SimdLimits {
  int avx2 = 8;
  int avx512 = 16;  // and a multiple of 16, from 32 on of 8
};

// The function for slices of `dim` floats.
template <typename Rule>
StepFunction<Rule> StepFor(int dim, const SimdLimits& limits = {}) {
  const SimdLevel level = CurrentSimdLevel();
#if defined(__x86_64__)
  const bool is_wide = dim >= limits.avx512 && dim % (dim < 32 ? 16 : 8) == 0;
  if (level >= SimdLevel::kAvx512 && is_wide) return &Avx512Step<Rule>;
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
