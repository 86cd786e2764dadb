// SPDX-License-Identifier: Apache-2.0
// Sums over a batch that many threads compute.
//
// The rows are cut into chunks whose number depends on sizes alone; each chunk has a sum of its own, and these are added
// in order. So the bits are the same for any number of threads.
#ifndef CC_LAYERS_PARTIAL_SUMS_H_
#define CC_LAYERS_PARTIAL_SUMS_H_

#include <cstdint>

namespace monolith::layers {

// Into how many chunks to cut `num_rows` rows, at least 1: not many, since each costs a sum of `sum_size` floats. All of
// them together do not outgrow the rows' own tensors, of `row_size` floats a row.
int64_t NumChunks(int64_t num_rows, int64_t row_size, int64_t sum_size);

// The first row of a chunk; that of chunk `num_chunks` is `num_rows`.
inline int64_t ChunkBegin(int64_t chunk, int64_t num_chunks, int64_t num_rows) { return num_rows * chunk / num_chunks; }

// total[i] = partials[i] + partials[size + i] + ..., `num_partials` terms, for i in [begin, end).
void SumPartials(const float* partials, int64_t num_partials, int64_t size, int64_t begin, int64_t end, float* total);

}  // namespace monolith::layers

#endif  // CC_LAYERS_PARTIAL_SUMS_H_
