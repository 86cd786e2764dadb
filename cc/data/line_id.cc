// SPDX-License-Identifier: Apache-2.0
#include "cc/data/line_id.h"

#include "cc/data/data_error.h"
#include "cc/data/proto_reader.h"

namespace monolith {
namespace data {
namespace {

using Kind = LineIdField::Kind;

constexpr LineIdField kFields[] = {
    {"uid", 2, Kind::kFixed64, false, 0},         {"req_time", 3, Kind::kInt64, false, 0},
    {"item_id", 4, Kind::kFixed64, false, 0},     {"actions", 6, Kind::kInt32, true, 0},
    {"chnid", 19, Kind::kInt64, false, 0},        {"pre_actions", 23, Kind::kInt32, true, 0},
    {"sample_rate", 27, Kind::kFloat, false, 1},  {"special_strategies", 39, Kind::kInt32, true, 0},
    {"device_type", 41, Kind::kString, false, 0}, {"cid", 48, Kind::kString, false, 0},
    {"user_id", 49, Kind::kString, false, 0},     {"is_draw", 87, Kind::kBool, false, 0},
    {"rank", 145, Kind::kInt32, false, 0},        {"data_source_name", 235, Kind::kString, false, 0},
};

}  // namespace

const LineIdField* LineIdFieldNamed(std::string_view name) {
  for (const LineIdField& field : kFields) {
    if (name == field.name) return &field;
  }
  return nullptr;
}

std::string LineIdFieldNames() {
  std::string names;
  for (const LineIdField& field : kFields) names += (names.empty() ? "" : ", ") + std::string(field.name);
  return names;
}

const LineIdField& FindLineIdField(const std::string& name) {
  if (const LineIdField* field = LineIdFieldNamed(name)) return *field;
  throw DataError(DataError::Code::kNotFound,
                  "extra feature '" + name + "' is not in line id, which has " + LineIdFieldNames() + ".");
}

const LineIdField& LineIdFieldOfSetting(const std::string& setting, const std::string& name) {
  if (const LineIdField* field = LineIdFieldNamed(name)) return *field;
  throw DataError(DataError::Code::kInvalidArgument,
                  setting + " is '" + name + "', which is not in line id; it has " + LineIdFieldNames() + ".");
}

bool HasWireType(const LineIdField& field, uint32_t tag) {
  const uint32_t type = tag & 7;
  switch (field.kind) {
    case Kind::kFixed64:
      return type == kFixed64;
    case Kind::kFloat:
      return type == kFixed32;
    case Kind::kString:
      return type == kBytes;
    case Kind::kInt64:
    case Kind::kInt32:
    case Kind::kBool:
      break;
  }
  return type == kVarint || (field.repeated && type == kBytes);
}

int64_t LineIdInt(const LineIdField& field, uint64_t wire_value) {
  if (field.kind == Kind::kInt32) return static_cast<int32_t>(wire_value);
  if (field.kind == Kind::kBool) return wire_value != 0;
  return static_cast<int64_t>(wire_value);
}

LineIdValue ReadLineIdField(const LineIdField& field, std::string_view line_id) {
  LineIdValue value;
  value.number = field.default_float;
  if (field.is_int() && !field.repeated) value.ints.push_back(0);
  const auto put = [&](uint64_t wire_value) {
    if (!field.repeated) value.ints.clear();  // the last one stands
    value.ints.push_back(LineIdInt(field, wire_value));
  };
  ProtoReader reader(line_id);
  while (const uint32_t tag = reader.Tag()) {
    if (tag >> 3 != field.number || !HasWireType(field, tag)) {
      reader.Skip(tag);
    } else if (field.kind == Kind::kString) {
      value.text = reader.Bytes();
    } else if (field.kind == Kind::kFloat) {
      value.number = reader.Fixed<float>();
    } else if (field.kind == Kind::kFixed64) {
      put(reader.Fixed<uint64_t>());
    } else if ((tag & 7) == kVarint) {
      put(reader.Varint());
    } else {
      ProtoReader packed(reader.Bytes());
      while (!packed.Done()) put(packed.Varint());
    }
  }
  return value;
}

}  // namespace data
}  // namespace monolith
