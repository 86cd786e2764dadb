// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_PREFETCH_H_
#define CC_HASH_TABLE_PREFETCH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace monolith {

// GCC takes a function that does nothing but prefetch for one without effects, and leaves out every call of it. This is an
// effect, and no instruction: it ends such a function.
inline void KeepPrefetches() { __asm__ volatile(""); }

// Prefetches the cache lines of [at, at + bytes), up to where the hardware's own prefetcher has caught on.
inline void PrefetchBytes(const char* at, size_t bytes) {
  constexpr uintptr_t kLine = 64, kMost = 1024;
  const auto begin = reinterpret_cast<uintptr_t>(at);
  const uintptr_t end = begin + std::min<uintptr_t>(bytes, kMost);
  for (uintptr_t line = begin / kLine * kLine; line < end; line += kLine) {
    __builtin_prefetch(reinterpret_cast<const char*>(line));
  }
  KeepPrefetches();
}

}  // namespace monolith

#endif  // CC_HASH_TABLE_PREFETCH_H_
