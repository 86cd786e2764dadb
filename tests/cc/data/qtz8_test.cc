// SPDX-License-Identifier: Apache-2.0
#include "cc/data/qtz8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cc/data/data_error.h"

namespace monolith {
namespace data {
namespace {

std::vector<float> Decode(const std::string& bytes, int64_t n) {
  std::vector<float> values(n, -7);
  DecodeQtz8("emb", std::string(kQtz8Mark) + bytes, n, values.data());
  return values;
}

TEST(Qtz8Test, SevenValues) {
  // [1.1, .1, 3.1, 5.1, 2.2, 3.3, 4.3]: fp16 0x2e66 and 0x451a, then the codes.
  const std::string bytes("\x66\x2e\x1a\x45\x33\x00\x99\xff\x6b\xa3\xd6", 11);
  const std::vector<float> values = Decode(bytes, 7), expected = {1.1f, .1f, 3.1f, 5.1f, 2.2f, 3.3f, 4.3f};
  for (int i = 0; i < 7; ++i) EXPECT_NEAR(values[i], expected[i], 1e-2) << i;
}

TEST(Qtz8Test, EqualValues) {
  const std::string bytes("\x00\x3c\x00\x3c\x00\x00\x00\x00\x00", 9);
  EXPECT_EQ(Decode(bytes, 5), std::vector<float>(5, 1.0f));
}

TEST(Qtz8Test, UpToFourValuesLieInTheMiddleOfWhatWasCut) {
  // 1, -1, 0, -0, and the smallest subnormal, whose unit is 2^-24; a unit at 1 is 2^-10.
  EXPECT_EQ(Decode(std::string("\x00\x3c\x00\xbc\x00\x00\x00\x80", 8), 4),
            (std::vector<float>{1 + 0x1p-11f, -1 - 0x1p-11f, 0, -0.0f}));
  EXPECT_EQ(Decode(std::string("\x01\x00", 2), 1), (std::vector<float>{1.5f * 0x1p-24f}));
  EXPECT_EQ(Decode(std::string("\x00\x7c\x00\xfc", 4), 2), (std::vector<float>{INFINITY, -INFINITY}));
  EXPECT_EQ(Decode("", 0), std::vector<float>());
}

TEST(Qtz8Test, AnotherNumberOfValuesIsAnError) {
  for (const auto& [bytes, n] :
       std::vector<std::pair<size_t, int64_t>>{{9, 4}, {9, 6}, {8, 8}, {7, 3}, {2, 2}, {0, 1}}) {
    try {
      Decode(std::string(bytes, '\1'), n);
      ADD_FAILURE() << bytes;
    } catch (const DataError& error) {
      EXPECT_EQ(error.code(), DataError::Code::kInternal);
      EXPECT_NE(std::string(error.what()).find("'emb'"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace data
}  // namespace monolith
