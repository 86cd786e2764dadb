// SPDX-License-Identifier: Apache-2.0
// Pieces of settings that are written as text, such as "1,2:3:0.5;4::1".
#ifndef CC_DATA_CONFIG_TEXT_H_
#define CC_DATA_CONFIG_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace monolith {
namespace data {

// One setting: its name and text, which errors name.
class ConfigText {
 public:
  ConfigText(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {}

  const std::string& text() const { return text_; }

  // Parts of a text, blanks around them cut off. An empty text has no parts.
  static std::vector<std::string_view> Split(std::string_view text, char separator);

  // The number that all of `text` is; throws DataError (kInvalidArgument).
  int64_t Int(std::string_view text) const;
  int32_t Action(std::string_view text) const;
  float Float(std::string_view text) const;
  // In [0, 1].
  float Rate(std::string_view text) const;
  // Comma separated.
  std::vector<int32_t> Actions(std::string_view text) const;

  // "<name> is '<text>': <what>."
  [[noreturn]] void Throw(const std::string& what) const;

 private:
  const std::string name_, text_;
};

// Throws DataError (kInvalidArgument) unless the rate is in [0, 1].
void CheckRate(const std::string& name, float rate);

[[noreturn]] void ThrowBadSetting(const std::string& what);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_CONFIG_TEXT_H_
