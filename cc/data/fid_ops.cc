// SPDX-License-Identifier: Apache-2.0
#include "cc/data/fid_ops.h"

#include <string>

#include "cc/data/config_text.h"
#include "cc/data/fid.h"

namespace monolith {
namespace data {
namespace {

constexpr uint64_t kCityMultiplier = 0x9ae16a3b2f90404fu;
constexpr uint64_t kBytesOfNumber = 8;

uint64_t RotateRight(uint64_t value, int bits) { return value >> bits | value << (64 - bits); }

}  // namespace

uint64_t CityHash64(uint64_t number) {
  // The first and the last eight bytes of the string are the same ones.
  const uint64_t multiplier = kCityMultiplier + 2 * kBytesOfNumber;
  const uint64_t first = number + kCityMultiplier, last = number;
  const uint64_t low = RotateRight(last, 37) * multiplier + first;
  const uint64_t high = (RotateRight(first, 25) + last) * multiplier;
  uint64_t mixed = (low ^ high) * multiplier;
  mixed ^= mixed >> 47;
  mixed = (high ^ mixed) * multiplier;
  mixed ^= mixed >> 47;
  return mixed * multiplier;
}

uint64_t ExtractFid(uint64_t slot_bits, uint64_t fid) { return slot_bits | V2Signature(CityHash64(fid)); }

uint64_t CombineFids(uint64_t slot_bits, int64_t first, int64_t second) {
  const __int128 product = static_cast<__int128>(first) * second;
  const auto high = static_cast<uint64_t>(product >> 64), low = static_cast<uint64_t>(product);
  return slot_bits | V2Signature(high ^ low);
}

template <typename Split>
void CheckSplits(const char* name, const Split* splits, int64_t num_splits, int64_t num_values) {
  const std::string what(name);
  if (num_splits < 1) ThrowBadSetting(what + " are empty; give one more than there are rows.");
  if (splits[0] != 0) ThrowBadSetting(what + " begin with " + std::to_string(splits[0]) + "; they must begin with 0.");
  for (int64_t i = 1; i < num_splits; ++i) {
    if (splits[i] >= splits[i - 1]) continue;
    ThrowBadSetting(what + " fall from " + std::to_string(splits[i - 1]) + " to " + std::to_string(splits[i]) +
                    "; they must not fall.");
  }
  if (splits[num_splits - 1] != num_values) {
    ThrowBadSetting(what + " end with " + std::to_string(splits[num_splits - 1]) + ", but there are " +
                    std::to_string(num_values) + " values; they must end with their number.");
  }
}

template void CheckSplits(const char*, const int32_t*, int64_t, int64_t);
template void CheckSplits(const char*, const int64_t*, int64_t, int64_t);

}  // namespace data
}  // namespace monolith
