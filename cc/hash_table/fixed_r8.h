// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_FIXED_R8_H_
#define CC_HASH_TABLE_FIXED_R8_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace monolith {

// One signed byte a float on the grid of step r / 128, from -r to r * 127 / 128.
struct FixedR8Grid {
  explicit FixedR8Grid(float r) : step(r / 128), half_step(step / 2) {}

  // Rounds to nearest, halves away from zero; what is too large becomes the end of the range, NaN becomes 0.
  int8_t Encode(float value) const {
    if (std::isnan(value)) return 0;
    const float steps = (value + (value >= 0 ? half_step : -half_step)) / step;
    return static_cast<int8_t>(std::clamp(steps, -128.0f, 127.0f));
  }
  float Decode(int8_t code) const { return code * step; }

  const float step;
  const float half_step;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_FIXED_R8_H_
