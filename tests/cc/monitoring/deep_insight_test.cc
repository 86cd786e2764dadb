// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/deep_insight.h"

#include <limits>
#include <string>
#include <vector>

#include "cc/monitoring/json_text.h"
#include "gtest/gtest.h"

namespace monolith {
namespace {

template <typename Value>
std::string Json(Value value) {
  std::string json;
  AppendJson(value, &json);
  return json;
}

std::string JsonOf(std::string_view text) { return Json(text); }

TEST(DeepInsightJson, Numbers) {
  EXPECT_EQ(Json(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(Json(0.1f), "0.1");
  EXPECT_EQ(Json(1.0f), "1");
  EXPECT_EQ(Json(std::numeric_limits<float>::max()), "3.4028235e+38");
  EXPECT_EQ(Json(std::numeric_limits<float>::quiet_NaN()), "null");
  EXPECT_EQ(Json(-std::numeric_limits<float>::infinity()), "null");
}

TEST(DeepInsightJson, StringsStayOnOneLine) {
  EXPECT_EQ(JsonOf("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(JsonOf(std::string_view("\n\r\t\0\x1f\x7f", 6)), R"("\n\r\t\u0000\u001f\u007f")");
  EXPECT_EQ(JsonOf("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"), "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}

TEST(DeepInsightJson, BytesThatAreNoTextAreReplaced) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(JsonOf("a\xFFz"), "\"a" + r + "z\"");
  EXPECT_EQ(JsonOf("\xC3"), "\"" + r + "\"");                                 // cut off
  EXPECT_EQ(JsonOf("\xC0\x80"), "\"" + r + r + "\"");                         // overlong
  EXPECT_EQ(JsonOf("\xE0\x80\x80"), "\"" + r + r + r + "\"");                 // overlong
  EXPECT_EQ(JsonOf("\xED\xA0\x80"), "\"" + r + r + r + "\"");                 // a surrogate
  EXPECT_EQ(JsonOf("\xF4\x90\x80\x80"), "\"" + r + r + r + r + "\"");         // above U+10FFFF
  EXPECT_EQ(JsonOf("\xF0\x8F\x80\x80x"), "\"" + r + r + r + r + "x" + "\"");  // overlong
}

TEST(DeepInsightSampling, UsersAreWhollyInOrOut) {
  int kept = 0;
  for (int64_t uid = 0; uid < 100000; ++uid) {
    EXPECT_FALSE(IsSampledUser(uid, 0));
    EXPECT_TRUE(IsSampledUser(uid, 1));
    // Who is in at a ratio is in at every larger one.
    const bool is_kept = IsSampledUser(uid, 0.01);
    EXPECT_TRUE(!is_kept || IsSampledUser(uid, 0.02));
    kept += is_kept ? 1 : 0;
  }
  EXPECT_NEAR(kept, 1000, 150);
}

TEST(DeepInsightFormat, WritesARowOfTwoTargets) {
  const std::vector<int64_t> uids = {-7, 8}, times = {100, 200}, ages = {30, 40};
  const std::vector<float> labels = {1, 0, 0.5f, 2}, preds = {0.25f, 0.75f, 3, 4}, rates = {1, 1, 1, 0.1f};
  const std::vector<float> prices = {9.5f, 1};
  DeepInsightRows rows;
  rows.num_rows = 2;
  rows.uids = uids.data();
  rows.req_times = times.data();
  rows.labels = labels.data();
  rows.preds = preds.data();
  rows.sample_rates = rates.data();
  DeepInsightField price, age, city, zip;
  price.key = "price";
  price.floats = prices.data();
  age.key = "age";
  age.ints = ages.data();
  city.key = "city";
  city.strings = {"Ulm", "Bonn"};
  zip.key = "zip";
  zip.strings = {"1", "2"};
  rows.extra_fields = {city, price, age, zip};
  const DeepInsightFormat format("m\"1", {"ctr", "cvr"}, 1);
  const std::vector<std::string> messages = format.Messages(rows, 5);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[1], R"({"model_name": "m\"1", "req_time": 200, "uid": 8, "train_time": 5, )"
                         R"("predict": {"ctr": 0.75, "cvr": 4}, "label": {"ctr": 0, "cvr": 2}, )"
                         R"("sample_rate": {"ctr": 1, "cvr": 0.1}, "sample_ratio": 1, "extra_float": {"price": 1}, )"
                         R"("extra_int": {"age": 40}, "extra_str": {"city": "Bonn", "zip": "2"}})");
  rows.extra_fields.clear();
  EXPECT_EQ(format.Messages(rows, 0)[0], R"({"model_name": "m\"1", "req_time": 100, "uid": -7, "train_time": 0, )"
                                         R"("predict": {"ctr": 0.25, "cvr": 3}, "label": {"ctr": 1, "cvr": 0.5}, )"
                                         R"("sample_rate": {"ctr": 1, "cvr": 1}, "sample_ratio": 1})");
}

TEST(DeepInsightFormat, RowsOfOtherUsersAreEmpty) {
  const std::vector<int64_t> uids = {1, 2, 3};
  const std::vector<float> values(3, 1);
  DeepInsightRows rows;
  rows.num_rows = 3;
  rows.uids = rows.req_times = uids.data();
  rows.labels = rows.preds = rows.sample_rates = values.data();
  EXPECT_EQ(DeepInsightFormat("m", {"t"}, 0).Messages(rows, 0), std::vector<std::string>(3));
}

}  // namespace
}  // namespace monolith
