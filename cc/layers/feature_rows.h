// SPDX-License-Identifier: Apache-2.0
// Rows of features that lie in matrices of their own, [B, D] each, put side by side: the few rows that one task works on, so
// that they stay in its cache.
#ifndef CC_LAYERS_FEATURE_ROWS_H_
#define CC_LAYERS_FEATURE_ROWS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

namespace monolith::layers {

// joined[i] = the rows `first` + i of all features, one behind the other: [num_rows, features.size() * dim].
inline void JoinRows(const std::vector<const float*>& features, int64_t dim, int64_t first, int64_t num_rows,
                     float* joined) {
  const auto width = static_cast<int64_t>(features.size()) * dim;
  for (const float* feature : features) {
    for (int64_t i = 0; i < num_rows; ++i) std::copy_n(feature + (first + i) * dim, dim, joined + i * width);
    joined += dim;
  }
}

// The inverse of JoinRows.
inline void SplitRows(const float* joined, int64_t dim, int64_t first, int64_t num_rows,
                      const std::vector<float*>& features) {
  const auto width = static_cast<int64_t>(features.size()) * dim;
  for (float* feature : features) {
    for (int64_t i = 0; i < num_rows; ++i) std::copy_n(joined + i * width, dim, feature + (first + i) * dim);
    joined += dim;
  }
}

}  // namespace monolith::layers

#endif  // CC_LAYERS_FEATURE_ROWS_H_
