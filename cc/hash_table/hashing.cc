// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/hashing.h"

#include "cc/hash_table/cpu_features.h"

namespace monolith {
namespace {

MONOLITH_INLINE void Mix(const int64_t* __restrict fids, int64_t n, uint64_t* __restrict hashes) {
  for (int64_t i = 0; i < n; ++i) hashes[i] = Mix64(static_cast<uint64_t>(fids[i]));
}

#if defined(__x86_64__)
MONOLITH_AVX512 void MixAvx512(const int64_t* fids, int64_t n, uint64_t* hashes) { Mix(fids, n, hashes); }
#endif

}  // namespace

void MixEach(const int64_t* fids, int64_t n, uint64_t* hashes) {
#if defined(__x86_64__)
  if (CurrentSimdLevel() >= SimdLevel::kAvx512) return MixAvx512(fids, n, hashes);
#endif
  Mix(fids, n, hashes);
}

}  // namespace monolith
