// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_LINE_ID_H_
#define CC_DATA_LINE_ID_H_

#include <cstdint>
#include <string>

namespace monolith {
namespace data {

// A field of message LineId.
struct LineIdField {
  enum class Kind { kFixed64, kInt64, kInt32, kBool, kFloat, kString };
  const char* name;
  uint32_t number;
  Kind kind;
  bool repeated;
  float default_float;

  bool is_int() const { return kind != Kind::kFloat && kind != Kind::kString; }
};

// Throws DataError (kNotFound) "... is not in line id" for another name.
const LineIdField& FindLineIdField(const std::string& name);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_LINE_ID_H_
