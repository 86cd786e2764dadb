// SPDX-License-Identifier: Apache-2.0
// Short runs of floats: columns of a slice.
#ifndef CC_HASH_TABLE_COMBINE_FLOATS_H_
#define CC_HASH_TABLE_COMBINE_FLOATS_H_

#include <cstdint>
#include <cstring>

#include "cc/hash_table/prefetch.h"

namespace monolith {

// Biases, of one float, are as frequent as embeddings; common widths need no call.
inline void CopyFloats(const float* from, int64_t n, float* to) {
  if (n == 1) {
    *to = *from;
  } else if (n == 16) {
    std::memcpy(to, from, 16 * sizeof(float));
  } else {
    std::memcpy(to, from, n * sizeof(float));
  }
}

// Lines of a batch lie a whole output row apart, too far for the hardware's own prefetcher. Only the first cache lines:
// it does the rest of a long run.
template <bool kForWrite>
inline void PrefetchFloats(const float* at, int64_t n) {
  constexpr int64_t kFloatsPerLine = 16, kMost = 8 * kFloatsPerLine;
  for (int64_t i = 0; i < n && i < kMost; i += kFloatsPerLine) __builtin_prefetch(at + i, kForWrite);
  __builtin_prefetch(at + (n < kMost ? n : kMost) - 1, kForWrite);
  KeepPrefetches();
}

}  // namespace monolith

#endif  // CC_HASH_TABLE_COMBINE_FLOATS_H_
