// SPDX-License-Identifier: Apache-2.0
// Fids made of fids. All are of version 2.
#ifndef CC_DATA_FID_OPS_H_
#define CC_DATA_FID_OPS_H_

#include <cstdint>
#include <vector>

namespace monolith {
namespace data {

// CityHash64, version 1.1, of the eight bytes of a number, least significant first. From the published algorithm for
// strings of 8 to 16 bytes (Pike and Alakuijala, 2011).
uint64_t CityHash64(uint64_t number);

// The fid of a slot whose signature is a hash of another fid.
uint64_t ExtractFid(uint64_t slot_bits, uint64_t fid);

// The fid of a slot that stands for a pair: the signature is the upper half of the signed 128-bit product, exclusive-or the
// lower half.
uint64_t CombineFids(uint64_t slot_bits, int64_t first, int64_t second);

// The rows of a ragged column are [splits[i], splits[i + 1]). Throws DataError (kInvalidArgument), naming the column, unless
// splits begin with 0, never fall and end with the number of values.
template <typename Split>
void CheckSplits(const char* name, const Split* splits, int64_t num_splits, int64_t num_values);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_FID_OPS_H_
