// SPDX-License-Identifier: Apache-2.0
// What a fused lookup reads and which tensors it makes of it, from a serialized FeatureConfigs message.
#ifndef MONOLITH_CC_DISTRIBUTION_LAYOUT_CONFIG_H_
#define MONOLITH_CC_DISTRIBUTION_LAYOUT_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace monolith::distribution {

enum class Pooling { kSum = 0, kMean = 1, kFirstN = 3 };
enum class OutType { kConcat = 0, kStack = 1, kAddN = 2, kNone = 3 };

struct LayoutFeature {
  std::string name;
  int table = 0;
  Pooling pooling = Pooling::kSum;
  int64_t length = 0;  // positions of kFirstN; else 0
  int64_t width = 0;   // floats of an embedding
};

struct LayoutSlice {
  int feature = 0;
  int64_t start = 0, end = 0;  // columns of the embedding
  int64_t dim() const { return end - start; }
};

// One tensor, [batch, slices.., positions.., width].
struct LayoutTensor {
  std::vector<LayoutSlice> slices;
  OutType type = OutType::kConcat;
  int64_t length = 0;     // positions; 0 where rows are pooled
  int64_t width() const;  // floats of the last axis
  std::vector<int64_t> shape(int64_t batch) const;
};

struct LayoutConfig {
  std::vector<std::string> tables;      // sorted
  std::vector<LayoutFeature> features;  // sorted by name
  std::vector<LayoutTensor> tensors;    // by layout, sorted by name; of kNone one a slice
};

// Throws DataError, naming the feature or the layout, where the message does not make sense.
LayoutConfig ParseLayoutConfig(std::string_view feature_configs);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_LAYOUT_CONFIG_H_
