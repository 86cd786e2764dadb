// SPDX-License-Identifier: Apache-2.0
// Loops over floats, compiled for every SimdLevel.
//
// A loop is a class with a member
//
//   template <int kLanes>
//   MONOLITH_INLINE void Run() const;
//
// and RunVectorised(loop) calls it with as many lanes as a register of this processor has. What Run calls must be
// inlined as well (MONOLITH_INLINE), or it keeps the instructions of the baseline. Nothing is reordered on the way, but
// a product and the sum that it goes into are rounded once where the level has an instruction for both: levels agree to
// a rounding, and at one level every element has the same bits whatever the number of threads.
#ifndef CC_LAYERS_SIMD_H_
#define CC_LAYERS_SIMD_H_

#include <cstdint>
#include <cstring>

#include "cc/hash_table/simd_step.h"

namespace monolith::layers {

// `kLanes` floats, with the arithmetic of C++ on each; a power of two.
template <int kLanes>
struct Vector {
  typedef float Type __attribute__((vector_size(4 * kLanes)));
};
template <int kLanes>
using Floats = typename Vector<kLanes>::Type;

// Reads floats that need no alignment.
template <int kLanes>
MONOLITH_INLINE void Load(const float* from, Floats<kLanes>* to) {
  std::memcpy(to, from, sizeof *to);
}

template <int kLanes>
MONOLITH_INLINE void Store(const Floats<kLanes>& from, float* to) {
  std::memcpy(to, &from, sizeof from);
}

// Covers [begin, end) with steps of kLanes, then of halves of it: calls body.At<lanes>(first column) for each.
template <int kLanes, typename Body>
MONOLITH_INLINE void ForColumns(int64_t begin, int64_t end, const Body& body) {
  for (; begin + kLanes <= end; begin += kLanes) body.template At<kLanes>(begin);
  if constexpr (kLanes > 1) ForColumns<kLanes / 2>(begin, end, body);
}

template <typename Loop>
void RunBaseline(const Loop& loop) {
  loop.template Run<4>();
}

#if defined(__x86_64__)
template <typename Loop>
__attribute__((target("avx2,fma"))) void RunAvx2(const Loop& loop) {
  loop.template Run<8>();
}

template <typename Loop>
MONOLITH_AVX512 void RunAvx512(const Loop& loop) {
  loop.template Run<16>();
}
#endif

template <typename Loop>
void RunVectorised(const Loop& loop) {
#if defined(__x86_64__)
  const SimdLevel level = CurrentSimdLevel();
  if (level >= SimdLevel::kAvx512) return RunAvx512(loop);
  if (level >= SimdLevel::kAvx2) return RunAvx2(loop);
#endif
  RunBaseline(loop);
}

}  // namespace monolith::layers

#endif  // CC_LAYERS_SIMD_H_
