// SPDX-License-Identifier: Apache-2.0
// Copies between private memory and memory that another thread may be reading or writing.
//
// A reader of an entry takes no lock: it copies, then checks a version (see fid_index.h). The words that it copies may
// change under it, so both sides touch them with relaxed atomics of eight bytes: defined behaviour in C++, clean under
// ThreadSanitizer, and on x86-64 and AArch64 ordinary loads and stores.
#ifndef CC_HASH_TABLE_RELAXED_MEMORY_H_
#define CC_HASH_TABLE_RELAXED_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace monolith {

// `shared` is aligned to 8 bytes. Nothing behind `bytes` is touched: it may be state that readers never see.
inline void LoadShared(void* to, const void* shared, size_t bytes) {
  const auto* source = static_cast<const uint64_t*>(shared);
  auto* target = static_cast<char*>(to);
  const size_t words = bytes / 8;
  for (size_t i = 0; i < words; ++i) {
    const uint64_t word = __atomic_load_n(source + i, __ATOMIC_RELAXED);
    std::memcpy(target + 8 * i, &word, 8);
  }
  const char* tail = reinterpret_cast<const char*>(source);
  size_t at = 8 * words;
  if (bytes - at >= 4) {
    const uint32_t half = __atomic_load_n(reinterpret_cast<const uint32_t*>(tail + at), __ATOMIC_RELAXED);
    std::memcpy(target + at, &half, 4);
    at += 4;
  }
  for (; at < bytes; ++at) target[at] = __atomic_load_n(tail + at, __ATOMIC_RELAXED);
}

// Requires: the caller holds the lock that serialises writers of these words.
inline void StoreShared(void* shared, const void* from, size_t bytes) {
  auto* target = static_cast<char*>(shared);
  const auto* source = static_cast<const char*>(from);
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, source + i, 8);
    __atomic_store_n(reinterpret_cast<uint64_t*>(target + i), word, __ATOMIC_RELAXED);
  }
  if (bytes - i >= 4) {
    uint32_t half;
    std::memcpy(&half, source + i, 4);
    __atomic_store_n(reinterpret_cast<uint32_t*>(target + i), half, __ATOMIC_RELAXED);
    i += 4;
  }
  for (; i < bytes; ++i) __atomic_store_n(target + i, source[i], __ATOMIC_RELAXED);
}

}  // namespace monolith

#endif  // CC_HASH_TABLE_RELAXED_MEMORY_H_
