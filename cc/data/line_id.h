// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_LINE_ID_H_
#define CC_DATA_LINE_ID_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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

// The field of that name, or null.
const LineIdField* LineIdFieldNamed(std::string_view name);

// The names of all fields, comma separated.
std::string LineIdFieldNames();

// Throws DataError (kNotFound) "... is not in line id" for another name.
const LineIdField& FindLineIdField(const std::string& name);

// The field that a setting names; throws DataError (kInvalidArgument) that names the setting if there is none.
const LineIdField& LineIdFieldOfSetting(const std::string& setting, const std::string& name);

// Whether a tag with the field's number holds a value of it: another wire type is an unknown field.
bool HasWireType(const LineIdField& field, uint32_t tag);

// An integer field's value of what stands on the wire, as the protobuf library cuts it to the field's width.
int64_t LineIdInt(const LineIdField& field, uint64_t wire_value);

// One field of one LineId. A field that is not there has its default.
struct LineIdValue {
  std::vector<int64_t> ints;  // all of a repeated field, else one; a fixed64 bit for bit
  float number = 0;
  std::string_view text;  // a view of the LineId
};

// The LineId must be valid.
LineIdValue ReadLineIdField(const LineIdField& field, std::string_view line_id);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_LINE_ID_H_
