// SPDX-License-Identifier: Apache-2.0
// What several parts of a table ask of values.
#ifndef CC_HASH_TABLE_VALUES_H_
#define CC_HASH_TABLE_VALUES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace monolith {

// "Zero" is a sum of squares of 0 or below the smallest normal float.
inline bool IsZero(const float* values, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += values[i] * values[i];
  return sum < std::numeric_limits<float>::min();
}

inline void RaiseTo(std::atomic<int64_t>* highest, int64_t value) {
  int64_t seen = highest->load(std::memory_order_relaxed);
  while (seen < value && !highest->compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

}  // namespace monolith

#endif  // CC_HASH_TABLE_VALUES_H_
