// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/span.h"

namespace monolith::distribution {

Error CheckSplits(const char* what, Span<const int64_t> splits, int64_t num_values) {
  const std::string name(what);
  if (splits.size < 1) return name + " is empty; row splits start with a 0";
  if (splits[0] != 0) {
    return name + " starts with " + std::to_string(splits[0]) + "; row splits start with 0";
  }
  for (int64_t i = 1; i < splits.size; ++i) {
    if (splits[i] < splits[i - 1]) {
      return name + " falls from " + std::to_string(splits[i - 1]) + " to " + std::to_string(splits[i]) + " at " +
             std::to_string(i) + "; row splits never fall";
    }
  }
  if (splits[splits.size - 1] != num_values) {
    return name + " ends with " + std::to_string(splits[splits.size - 1]) + " but there are " +
           std::to_string(num_values) + " values; the last row split is their number";
  }
  return std::nullopt;
}

Error CheckIndices(const char* what, Span<const int64_t> indices, int64_t limit, const std::string& remedy) {
  for (int64_t i = 0; i < indices.size; ++i) {
    if (indices[i] < 0 || indices[i] >= limit) {
      return std::string(what) + "[" + std::to_string(i) + "] is " + std::to_string(indices[i]) +
             " but must lie in [0, " + std::to_string(limit) + "); " + remedy;
    }
  }
  return std::nullopt;
}

}  // namespace monolith::distribution
