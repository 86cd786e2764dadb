// SPDX-License-Identifier: Apache-2.0
// Copies from memory that another thread may be writing, and writes to memory that another may be copying.
//
// A reader of an entry takes no lock: it copies, then checks a version and throws away what changed under it (see
// fid_index.h). Which instructions copy does not matter then, as long as none crosses the fences around them: vectors are
// as good as words, and the writer changes the entry in place. C++ has no name for such a copy; its memory model asks for
// atomic accesses of both sides. ThreadSanitizer builds get those, in words of eight bytes, with the writer working on a
// private copy; so what the sanitizer proves is the protocol of versions, which both builds share.
#ifndef CC_HASH_TABLE_RELAXED_MEMORY_H_
#define CC_HASH_TABLE_RELAXED_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace monolith {

#if defined(__SANITIZE_THREAD__)
constexpr bool kWriteInPlace = false;
#else
constexpr bool kWriteInPlace = true;
#endif

// Words of eight bytes, then what is left; nothing behind `bytes` is touched: it may be state that readers never see.
inline void LoadAtomically(void* to, const void* shared, size_t bytes) {
  const auto* source = static_cast<const char*>(shared);
  auto* target = static_cast<char*>(to);
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(source + i), __ATOMIC_RELAXED);
    std::memcpy(target + i, &word, 8);
  }
  for (; i + 4 <= bytes; i += 4) {
    const uint32_t half = __atomic_load_n(reinterpret_cast<const uint32_t*>(source + i), __ATOMIC_RELAXED);
    std::memcpy(target + i, &half, 4);
  }
  for (; i < bytes; ++i) target[i] = __atomic_load_n(source + i, __ATOMIC_RELAXED);
}

inline void StoreAtomically(void* shared, const void* from, size_t bytes) {
  auto* target = static_cast<char*>(shared);
  const auto* source = static_cast<const char*>(from);
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, source + i, 8);
    __atomic_store_n(reinterpret_cast<uint64_t*>(target + i), word, __ATOMIC_RELAXED);
  }
  for (; i + 4 <= bytes; i += 4) {
    uint32_t half;
    std::memcpy(&half, source + i, 4);
    __atomic_store_n(reinterpret_cast<uint32_t*>(target + i), half, __ATOMIC_RELAXED);
  }
  for (; i < bytes; ++i) __atomic_store_n(target + i, source[i], __ATOMIC_RELAXED);
}

// Copies `bytes` of an entry, which is aligned to 8 bytes.
inline void LoadShared(void* to, const void* shared, size_t bytes) {
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
  const auto* source = static_cast<const char*>(shared);
  auto* target = static_cast<char*>(to);
  const auto copy = [&](size_t at) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target + at),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + at)));
  };
  for (; bytes >= 64; bytes -= 64, source += 64, target += 64) {
    for (const size_t at : {0, 16, 32, 48}) copy(at);
  }
  for (; bytes >= 16; bytes -= 16, source += 16, target += 16) copy(0);
  if (bytes > 0) LoadAtomically(target, source, bytes);
#else
  LoadAtomically(to, shared, bytes);
#endif
}

// Runs change(value) on the first `bytes` of an entry. Requires: the caller is the entry's only writer, and readers are
// kept from taking what they copy meanwhile. `scratch` holds `bytes`; where the entry is not changed in place, it is the
// private copy.
template <typename ChangeValue>
inline void ChangeShared(char* shared, char* scratch, size_t bytes, ChangeValue change) {
  if (kWriteInPlace) {
    change(shared);
    return;
  }
  LoadAtomically(scratch, shared, bytes);
  change(scratch);
  StoreAtomically(shared, scratch, bytes);
}

}  // namespace monolith

#endif  // CC_HASH_TABLE_RELAXED_MEMORY_H_
