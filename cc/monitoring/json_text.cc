// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/json_text.h"

#include <charconv>
#include <cmath>
#include <cstddef>

namespace monolith {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

template <typename Number>
void AppendNumber(Number value, std::string* json) {
  char digits[32];  // a float32 needs 15 of them, an int64 20
  json->append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

void AppendControl(unsigned char c, std::string* json) {
  constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '\n':
      json->append("\\n");
      return;
    case '\r':
      json->append("\\r");
      return;
    case '\t':
      json->append("\\t");
      return;
    default:
      json->append("\\u00");
      json->push_back(kHex[c >> 4]);
      json->push_back(kHex[c & 15]);
  }
}

bool IsContinuation(std::string_view text, size_t i) {
  return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
}

// Bytes of the character at `i`, which is not ASCII; 0 if there is none. RFC 3629: no overlong form, no surrogate, nothing
// above U+10FFFF.
size_t CharacterBytes(std::string_view text, size_t i) {
  const auto first = static_cast<unsigned char>(text[i]);
  const size_t bytes = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  for (size_t k = 1; k < bytes; ++k) {
    if (!IsContinuation(text, i + k)) return 0;
  }
  if (bytes < 3) return bytes;
  const auto second = static_cast<unsigned char>(text[i + 1]);
  const bool is_bad = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                      (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  return is_bad ? 0 : bytes;
}

}  // namespace

void AppendJson(int64_t value, std::string* json) { AppendNumber(value, json); }

void AppendJson(float value, std::string* json) {
  if (std::isfinite(value)) {
    AppendNumber(value, json);
  } else {
    json->append("null");
  }
}

void AppendJson(std::string_view value, std::string* json) {
  json->push_back('"');
  for (size_t i = 0; i < value.size();) {
    const auto c = static_cast<unsigned char>(value[i]);
    if (c >= 0x80) {
      const size_t bytes = CharacterBytes(value, i);
      json->append(bytes == 0 ? kReplacement : value.substr(i, bytes));
      i += bytes == 0 ? 1 : bytes;
      continue;
    }
    if (c < 0x20 || c == 0x7F) {
      AppendControl(c, json);
    } else {
      if (c == '"' || c == '\\') json->push_back('\\');
      json->push_back(static_cast<char>(c));
    }
    ++i;
  }
  json->push_back('"');
}

}  // namespace monolith
