// SPDX-License-Identifier: Apache-2.0
// Looks every distinct fid up once, and puts its vector wherever the fid occurs.
//
// All tables' vectors of a step lie in one flat buffer: table by table, and within a table one vector
// an occurrence. A distinct fid therefore has a list of places ("offsets", in floats) in that buffer.
#ifndef MONOLITH_CC_DISTRIBUTION_OFFSET_MAP_H_
#define MONOLITH_CC_DISTRIBUTION_OFFSET_MAP_H_

#include <vector>

#include "cc/distribution/span.h"

namespace monolith::distribution {

// The distinct fids of each row, in the order they were first seen, and where each one's vector goes.
struct UniqueKeys {
  std::vector<int64_t> keys;           // [unique]
  std::vector<int64_t> key_splits;     // [rows + 1], of keys
  std::vector<int64_t> offsets;        // [n], grouped by unique key
  std::vector<int64_t> offset_splits;  // [unique + 1], of offsets
  int64_t buffer_size = 0;             // floats for all vectors: sum over rows of length * dim
};

// `splits` cut `keys` into one row a table; `dims` holds the width of each table's vectors.
Error UniqueWithOffsets(Span<const int64_t> keys, Span<const int64_t> splits, Span<const int64_t> dims,
                        UniqueKeys* out);

// Which flat values belong to which unique key, and to which places of the buffer.
struct OffsetMap {
  Span<const int64_t> pos;            // unique key of each given vector
  Span<const int64_t> pos_splits;     // one row a table
  Span<const int64_t> offsets;        // as in UniqueKeys
  Span<const int64_t> offset_splits;  // as in UniqueKeys
  Span<const int64_t> dims;           // one width a table
};

// Checks a map against the sizes it indexes; FillBuffer and SumFromBuffer require it to pass.
// `value_size` may be -1 where the values are the result. `buffer_size` counts floats.
Error CheckOffsetMap(const OffsetMap& map, int64_t value_size, int64_t buffer_size);

// Floats of all vectors that `map.pos` names: sum over rows of length * dim.
int64_t ValueSize(const OffsetMap& map);

// Copies the i-th vector of `values` to every place of unique key pos[i], for i in [begin, end).
void FillBuffer(const OffsetMap& map, const float* values, int64_t begin, int64_t end, float* buffer);

// The gradient of FillBuffer: the i-th vector of `values` becomes the sum over its places.
void SumFromBuffer(const OffsetMap& map, const float* buffer, int64_t begin, int64_t end, float* values);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_OFFSET_MAP_H_
