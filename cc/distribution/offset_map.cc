// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/offset_map.h"

#include <algorithm>
#include <cstring>

#include "cc/distribution/key_index.h"

namespace monolith::distribution {
namespace {

Error CheckDims(Span<const int64_t> dims, int64_t num_rows, const char* rows) {
  if (dims.size != num_rows) {
    return "dims holds " + std::to_string(dims.size) + " widths but " + rows + " has " + std::to_string(num_rows) +
           " rows; give one width a row";
  }
  for (int64_t i = 0; i < dims.size; ++i) {
    if (dims[i] < 1) {
      return "dims[" + std::to_string(i) + "] is " + std::to_string(dims[i]) + "; a vector has at least one float";
    }
  }
  return std::nullopt;
}

// Calls fn(i, width, value_begin) for every i in [begin, end): the width of vector i and the place of
// its first float among the flat values.
template <typename Fn>
void ForEachVector(const OffsetMap& map, int64_t begin, int64_t end, Fn fn) {
  int64_t value_begin = 0;
  for (int64_t row = 0; row < map.dims.size; ++row) {
    const int64_t first = map.pos_splits[row], last = map.pos_splits[row + 1];
    const int64_t dim = map.dims[row];
    for (int64_t i = std::max(first, begin); i < std::min(last, end); ++i) {
      fn(i, dim, value_begin + (i - first) * dim);
    }
    value_begin += (last - first) * dim;
  }
}

}  // namespace

Error UniqueWithOffsets(Span<const int64_t> keys, Span<const int64_t> splits, Span<const int64_t> dims,
                        UniqueKeys* out) {
  if (Error error = CheckSplits("key_split", splits, keys.size)) return error;
  const int64_t num_rows = splits.size - 1;
  if (Error error = CheckDims(dims, num_rows, "key")) return error;
  *out = UniqueKeys();
  out->key_splits.push_back(0);
  out->offset_splits.push_back(0);
  std::vector<int64_t> number(keys.size);  // of the unique key behind each occurrence
  int64_t base = 0;
  for (int64_t row = 0; row < num_rows; ++row) {
    KeyIndex index(splits[row + 1] - splits[row]);
    for (int64_t i = splits[row]; i < splits[row + 1]; ++i) {
      number[i] = base + index.Insert(keys[i]);
      if (number[i] == static_cast<int64_t>(out->keys.size())) {
        out->keys.push_back(keys[i]);
        out->offset_splits.push_back(0);
      }
      ++out->offset_splits[number[i] + 1];
    }
    base = out->keys.size();
    out->key_splits.push_back(base);
  }
  for (size_t i = 1; i < out->offset_splits.size(); ++i) {
    out->offset_splits[i] += out->offset_splits[i - 1];
  }
  std::vector<int64_t> next(out->offset_splits.begin(), out->offset_splits.end() - 1);
  out->offsets.resize(keys.size);
  for (int64_t row = 0; row < num_rows; ++row) {
    for (int64_t i = splits[row]; i < splits[row + 1]; ++i) {
      out->offsets[next[number[i]]++] = out->buffer_size;
      out->buffer_size += dims[row];
    }
  }
  return std::nullopt;
}

Error CheckOffsetMap(const OffsetMap& map, int64_t value_size, int64_t buffer_size) {
  if (Error error = CheckSplits("pos_split", map.pos_splits, map.pos.size)) return error;
  if (Error error = CheckDims(map.dims, map.pos_splits.size - 1, "pos")) return error;
  if (Error error = CheckSplits("value_offset_map_split", map.offset_splits, map.offsets.size)) {
    return error;
  }
  if (Error error =
          CheckIndices("pos", map.pos, map.offset_splits.size - 1, "it counts the unique keys of value_offset_map")) {
    return error;
  }
  if (value_size >= 0 && value_size != ValueSize(map)) {
    return "value holds " + std::to_string(value_size) + " floats but the rows of pos and dims need " +
           std::to_string(ValueSize(map)) + "; give dims[j] floats for every pos of row j";
  }
  Error error;
  ForEachVector(map, 0, map.pos.size, [&](int64_t i, int64_t dim, int64_t) {
    for (int64_t k = map.offset_splits[map.pos[i]]; k < map.offset_splits[map.pos[i] + 1]; ++k) {
      if (!error && (map.offsets[k] < 0 || map.offsets[k] > buffer_size - dim)) {
        error = "value_offset_map[" + std::to_string(k) + "] is " + std::to_string(map.offsets[k]) + ": a vector of " +
                std::to_string(dim) + " floats does not fit there into a buffer of " + std::to_string(buffer_size) +
                "; use map and buffer of the same unique op";
      }
    }
  });
  return error;
}

int64_t ValueSize(const OffsetMap& map) {
  int64_t size = 0;
  for (int64_t row = 0; row < map.dims.size; ++row) {
    size += (map.pos_splits[row + 1] - map.pos_splits[row]) * map.dims[row];
  }
  return size;
}

void FillBuffer(const OffsetMap& map, const float* values, int64_t begin, int64_t end, float* buffer) {
  ForEachVector(map, begin, end, [&](int64_t i, int64_t dim, int64_t value_begin) {
    const int64_t key = map.pos[i];
    for (int64_t k = map.offset_splits[key]; k < map.offset_splits[key + 1]; ++k) {
      std::memcpy(buffer + map.offsets[k], values + value_begin, dim * sizeof(float));
    }
  });
}

void SumFromBuffer(const OffsetMap& map, const float* buffer, int64_t begin, int64_t end, float* values) {
  ForEachVector(map, begin, end, [&](int64_t i, int64_t dim, int64_t value_begin) {
    float* value = values + value_begin;
    std::fill(value, value + dim, 0.0f);
    const int64_t key = map.pos[i];
    for (int64_t k = map.offset_splits[key]; k < map.offset_splits[key + 1]; ++k) {
      const float* place = buffer + map.offsets[k];
      for (int64_t d = 0; d < dim; ++d) value[d] += place[d];
    }
  });
}

}  // namespace monolith::distribution
