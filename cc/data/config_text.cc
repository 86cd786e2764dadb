// SPDX-License-Identifier: Apache-2.0
#include "cc/data/config_text.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "cc/data/data_error.h"

namespace monolith {
namespace data {

void ThrowBadSetting(const std::string& what) { throw DataError(DataError::Code::kInvalidArgument, what); }

void ConfigText::Throw(const std::string& what) const { ThrowBadSetting(name_ + " is '" + text_ + "': " + what + "."); }

std::vector<std::string_view> ConfigText::Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  if (text.empty()) return parts;
  while (true) {
    const size_t end = text.find(separator);
    std::string_view part = text.substr(0, end);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    parts.push_back(part);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

int64_t ConfigText::Int(std::string_view text) const {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end) Throw("'" + std::string(text) + "' is no integer");
  return value;
}

int32_t ConfigText::Action(std::string_view text) const {
  const int64_t value = Int(text);
  if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
    Throw("action " + std::to_string(value) + " has more than 32 bits");
  }
  return static_cast<int32_t>(value);
}

float ConfigText::Float(std::string_view text) const {
  const std::string copy(text);
  char* end = nullptr;
  const float value = std::strtof(copy.c_str(), &end);
  if (copy.empty() || end != copy.c_str() + copy.size() || !std::isfinite(value)) {
    Throw("'" + copy + "' is no number");
  }
  return value;
}

float ConfigText::Rate(std::string_view text) const {
  const float rate = Float(text);
  if (!(rate >= 0 && rate <= 1)) Throw("the rate " + std::string(text) + " is not in [0, 1]");
  return rate;
}

std::vector<int32_t> ConfigText::Actions(std::string_view text) const {
  std::vector<int32_t> actions;
  for (const std::string_view part : Split(text, ',')) actions.push_back(Action(part));
  return actions;
}

void CheckRate(const std::string& name, float rate) {
  if (rate >= 0 && rate <= 1) return;
  ThrowBadSetting(name + " is " + std::to_string(rate) + "; it must be in [0, 1].");
}

}  // namespace data
}  // namespace monolith
