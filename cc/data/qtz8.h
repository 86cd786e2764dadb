// SPDX-License-Identifier: Apache-2.0
// Float vectors in few bytes, as an Instance may carry them in a bytes column: "UE_QTZ", then
//
//   up to four values: fp16 each;
//   more:              fp16 min, fp16 max, and for each value a byte `code`: min + code * (max - min) / 255.
//
// fp16 values of the short form were cut off, not rounded, when they were written: half a unit in the last place is added
// away from zero.
#ifndef CC_DATA_QTZ8_H_
#define CC_DATA_QTZ8_H_

#include <cstdint>
#include <string_view>

namespace monolith {
namespace data {

constexpr std::string_view kQtz8Mark = "UE_QTZ";

inline bool IsQtz8(std::string_view bytes) { return bytes.substr(0, kQtz8Mark.size()) == kQtz8Mark; }

// Decodes `n` values of bytes that begin with the mark. Throws DataError (kInternal), naming the column, where they are of
// another number.
void DecodeQtz8(std::string_view column, std::string_view bytes, int64_t n, float* out);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_QTZ8_H_
