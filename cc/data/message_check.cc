// SPDX-License-Identifier: Apache-2.0
#include "cc/data/message_check.h"

#include <cstdint>
#include <vector>

#include "cc/data/feature_view.h"
#include "cc/data/proto_reader.h"

namespace monolith {
namespace data {
namespace {

struct Schema;

// What the bytes of a length-delimited field have to be.
struct Rule {
  enum Kind : uint8_t { kAnything, kMessage, kUtf8, kFixed64s, kFixed32s, kVarints };
  uint32_t field;
  Kind kind;
  const Schema* message;
};

// A message type. Fields that are not listed have any value that the wire format allows.
struct Schema {
  std::vector<Rule> rules;
  size_t width = 0;  // of the values of a list of fixed-width values, which field 1 has; else 0

  const Rule* Find(uint32_t field) const {
    for (const Rule& rule : rules) {
      if (rule.field == field) return &rule;
    }
    return nullptr;
  }
};

bool IsUtf8Tail(const unsigned char* at, const unsigned char* end) {
  while (at < end) {
    const unsigned char first = *at++;
    if (first < 0x80) continue;
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4 || end - at < more) return false;
    const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (at[0] < low || at[0] > high) return false;
    for (int i = 1; i < more; ++i) {
      if ((at[i] & 0xC0) != 0x80) return false;
    }
    at += more;
  }
  return true;
}

bool IsUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  return IsUtf8Tail(at, at + text.size());
}

void CheckVarints(std::string_view packed) {
  ProtoReader reader(packed);
  while (!reader.Done()) reader.Varint();
}

void Check(const Schema& schema, std::string_view bytes, int depth);

void CheckBytes(const Rule& rule, std::string_view bytes, int depth) {
  switch (rule.kind) {
    case Rule::kAnything:
      return;
    case Rule::kMessage:
      return Check(*rule.message, bytes, depth + 1);
    case Rule::kUtf8:
      if (!IsUtf8(bytes)) ThrowMalformed();
      return;
    case Rule::kFixed64s:
      if (bytes.size() % 8 != 0) ThrowMalformed();
      return;
    case Rule::kFixed32s:
      if (bytes.size() % 4 != 0) ThrowMalformed();
      return;
    case Rule::kVarints:
      return CheckVarints(bytes);
  }
}

void Check(const Schema& schema, std::string_view bytes, int depth) {
  if (schema.width != 0 && IsOnePacked(bytes, 1)) {
    if ((bytes.size() - 2) % schema.width != 0) ThrowMalformed();
    return;
  }
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    const Rule* rule = (tag & 7) == kBytes ? schema.Find(tag >> 3) : nullptr;
    if (rule == nullptr) {
      reader.Skip(tag, depth);
    } else {
      CheckBytes(*rule, reader.Bytes(), depth);
    }
  }
}

// Every schema of this file, made once.
struct Schemas {
  Schema fixed64s{{{1, Rule::kFixed64s, nullptr}}, 8};
  Schema floats{{{1, Rule::kFixed32s, nullptr}}, 4};
  Schema ints{{{1, Rule::kVarints, nullptr}}};
  Schema nothing{{}};  // its fields are bytes or singular
  Schema fid_lists{{{1, Rule::kMessage, &fixed64s}}};
  Schema float_lists{{{1, Rule::kMessage, &floats}}};
  Schema int_lists{{{1, Rule::kMessage, &ints}}};
  Schema bytes_lists{{{1, Rule::kMessage, &nothing}}};

  Schema feature{{{1, Rule::kMessage, &fixed64s},
                  {2, Rule::kMessage, &fixed64s},
                  {3, Rule::kMessage, &floats},
                  {4, Rule::kMessage, &fixed64s},
                  {5, Rule::kMessage, &ints},
                  {6, Rule::kMessage, &nothing},
                  {7, Rule::kMessage, &fid_lists},
                  {8, Rule::kMessage, &float_lists},
                  {9, Rule::kMessage, &fid_lists},
                  {10, Rule::kMessage, &int_lists},
                  {11, Rule::kMessage, &bytes_lists},
                  {16, Rule::kMessage, &fid_lists}}};
  Schema raw_feature{{{1, Rule::kMessage, &feature}}};
  Schema line_id{{{6, Rule::kVarints, nullptr}, {23, Rule::kVarints, nullptr}, {39, Rule::kVarints, nullptr}}};
  Schema named_feature{{{1, Rule::kUtf8, nullptr}, {2, Rule::kMessage, &feature}}};
  Schema named_raw_feature{{{1, Rule::kUtf8, nullptr}, {2, Rule::kMessage, &raw_feature}}};

  Schema example{{{1, Rule::kMessage, &named_feature},
                  {2, Rule::kMessage, &named_raw_feature},
                  {100, Rule::kMessage, &line_id},
                  {101, Rule::kFixed32s, nullptr}}};
  // A column has the fields of a named feature, its features repeated.
  Schema example_batch{{{1, Rule::kMessage, &named_feature}, {2, Rule::kMessage, &named_raw_feature}}};

  Schema instance_feature{{{2, Rule::kFixed64s, nullptr},
                           {3, Rule::kFixed32s, nullptr},
                           {4, Rule::kVarints, nullptr},
                           {6, Rule::kMessage, &fixed64s},
                           {7, Rule::kMessage, &floats},
                           {8, Rule::kMessage, &ints},
                           {9, Rule::kMessage, &nothing}}};
  Schema instance{{{1, Rule::kFixed64s, nullptr},
                   {2, Rule::kFixed32s, nullptr},
                   {3, Rule::kFixed32s, nullptr},
                   {5, Rule::kMessage, &line_id},
                   {6, Rule::kFixed32s, nullptr},
                   {7, Rule::kMessage, &nothing},
                   {8, Rule::kFixed64s, nullptr},
                   {9, Rule::kMessage, &instance_feature}}};
};

const Schemas& AllSchemas() {
  static const auto* const schemas = new Schemas();
  return *schemas;
}

const Schema& SchemaOf(MessageType type) {
  const Schemas& schemas = AllSchemas();
  switch (type) {
    case MessageType::kInstance:
      return schemas.instance;
    case MessageType::kExampleBatch:
      return schemas.example_batch;
    case MessageType::kExample:
      return schemas.example;
    case MessageType::kPlaintext:
      break;
  }
  return schemas.nothing;
}

bool Fits(const Schema& schema, std::string_view bytes) {
  try {
    Check(schema, bytes, 0);
    return true;
  } catch (const Malformed&) {
    return false;
  }
}

}  // namespace

const char* NameOf(MessageType type) {
  switch (type) {
    case MessageType::kInstance:
      return "Instance";
    case MessageType::kExampleBatch:
      return "ExampleBatch";
    case MessageType::kExample:
      return "Example";
    case MessageType::kPlaintext:
      break;
  }
  return "plaintext";
}

MessageType TypeNamed(const std::string& name) {
  if (name == "instance") return MessageType::kInstance;
  if (name == "examplebatch" || name == "example_batch") return MessageType::kExampleBatch;
  if (name == "example") return MessageType::kExample;
  if (name == "plaintext") return MessageType::kPlaintext;
  throw DataError(DataError::Code::kInvalidArgument,
                  "'" + name + "' is no type of message; use instance, example, examplebatch or plaintext.");
}

bool IsMessage(MessageType type, std::string_view bytes) {
  return type == MessageType::kPlaintext || Fits(SchemaOf(type), bytes);
}

bool IsLineId(std::string_view bytes) { return Fits(AllSchemas().line_id, bytes); }

void CheckMessage(MessageType type, std::string_view bytes) {
  if (IsMessage(type, bytes)) return;
  throw DataError(DataError::Code::kFailedPrecondition, std::string("Failed to parse the ") + NameOf(type) + ".");
}

}  // namespace data
}  // namespace monolith
