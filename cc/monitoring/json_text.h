// SPDX-License-Identifier: Apache-2.0
#ifndef CC_MONITORING_JSON_TEXT_H_
#define CC_MONITORING_JSON_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace monolith {

// Each appends a value to a JSON text.
void AppendJson(int64_t value, std::string* json);
// The shortest number that reads back as the same float32; null for NaN and infinities.
void AppendJson(float value, std::string* json);
// In quotes, on one line. A byte that belongs to no UTF-8 character becomes U+FFFD.
void AppendJson(std::string_view value, std::string* json);

}  // namespace monolith

#endif  // CC_MONITORING_JSON_TEXT_H_
