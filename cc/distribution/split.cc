// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/split.h"

#include <cstring>

namespace monolith::distribution {

std::vector<int64_t> CountSplits(Span<const int64_t> indices, int64_t num_splits) {
  std::vector<int64_t> counts(num_splits, 0);
  for (int64_t index : indices) ++counts[index];
  return counts;
}

void SplitRows(Span<const int64_t> indices, const char* input, int64_t row_bytes, std::vector<char*> outputs) {
  for (int64_t index : indices) {
    std::memcpy(outputs[index], input, row_bytes);
    outputs[index] += row_bytes;
    input += row_bytes;
  }
}

void MergeRows(Span<const int64_t> indices, std::vector<const char*> inputs, int64_t row_bytes, char* output) {
  for (int64_t index : indices) {
    std::memcpy(output, inputs[index], row_bytes);
    inputs[index] += row_bytes;
    output += row_bytes;
  }
}

std::vector<RaggedPart> SplitRagged(Span<const int64_t> indices, Span<const int64_t> values, Span<const int64_t> splits,
                                    int64_t num_splits) {
  std::vector<RaggedPart> parts(num_splits);
  const std::vector<int64_t> counts = CountSplits(indices, num_splits);
  for (int64_t s = 0; s < num_splits; ++s) {
    parts[s].values.reserve(counts[s]);
    parts[s].positions.reserve(counts[s]);
    parts[s].row_splits.reserve(splits.size);
    parts[s].row_splits.push_back(0);
  }
  for (int64_t row = 0; row + 1 < splits.size; ++row) {
    for (int64_t i = splits[row]; i < splits[row + 1]; ++i) {
      RaggedPart& part = parts[indices[i]];
      part.values.push_back(values[i]);
      part.positions.push_back(i);
    }
    for (RaggedPart& part : parts) part.row_splits.push_back(part.values.size());
  }
  return parts;
}

Error JoinRowSplits(Span<const int64_t> row_splits, Span<const int32_t> sizes, std::vector<int64_t>* joined) {
  joined->clear();
  joined->reserve(row_splits.size + 1);
  joined->push_back(0);
  int64_t begin = 0;
  for (int64_t part = 0; part < sizes.size; ++part) {
    const int64_t size = sizes[part];
    if (size < 1 || size > row_splits.size - begin) {
      return "row_split_size[" + std::to_string(part) + "] is " + std::to_string(size) + " with " +
             std::to_string(row_splits.size - begin) +
             " row splits left; the sizes must be positive and add up to their number";
    }
    const Span<const int64_t> own(row_splits.data + begin, size);
    if (Error error = CheckSplits("a part of row_split", own, own[size - 1])) return error;
    const int64_t base = joined->back();
    for (int64_t i = 1; i < size; ++i) joined->push_back(base + own[i]);
    begin += size;
  }
  if (begin != row_splits.size) {
    return "row_split_size adds up to " + std::to_string(begin) + " but row_split has " +
           std::to_string(row_splits.size) + " numbers; give the size of every part";
  }
  return std::nullopt;
}

}  // namespace monolith::distribution
