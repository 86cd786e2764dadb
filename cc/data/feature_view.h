// SPDX-License-Identifier: Apache-2.0
// A column's value in one row, as a view of serialized bytes, and the values of its lists.
#ifndef CC_DATA_FEATURE_VIEW_H_
#define CC_DATA_FEATURE_VIEW_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "cc/data/proto_reader.h"

namespace monolith {
namespace data {

// The members of message Feature of an Example, by field number.
enum FeatureKind : uint32_t {
  kNoKind = 0,
  kFidV1List = 1,
  kFidV2List = 2,
  kFloatList = 3,
  kDoubleList = 4,
  kInt64List = 5,
  kBytesList = 6,
  kFidV2Lists = 7,
  kFloatLists = 8,
  kDoubleLists = 9,
  kInt64Lists = 10,
  kBytesLists = 11,
  kInt64Value = 12,
  kFloatValue = 13,
  kDoubleValue = 14,
  kBytesValue = 15,
  kFidV1Lists = 16,
};

const char* NameOf(FeatureKind kind);

// Bytes that were put together from pieces; they stay where they are.
using Pieces = std::deque<std::string>;

// One member of a Feature: its number and, of kinds 1 to 11 and 16, the message in it.
struct FeatureView {
  const char* data = nullptr;
  uint32_t size = 0;
  uint32_t kind = kNoKind;

  std::string_view payload() const { return std::string_view(data, size); }

  // Takes in a serialized Feature as protobuf merges it: the last member stands; pieces of the same member that follow one
  // another without another between them are one message. `pieces` keeps what has to be put together.
  void Merge(std::string_view feature, Pieces* pieces) {
    ProtoReader reader(feature);
    while (const uint32_t tag = reader.Tag()) {
      const uint32_t field = tag >> 3;
      const bool is_list =
          (tag & 7) == kBytes && ((field >= kFidV1List && field <= kBytesLists) || field == kFidV1Lists);
      if (is_list) {
        const std::string_view message = reader.Bytes();
        if (kind == field && size > 0) {
          pieces->push_back(std::string(payload()).append(message));
          Set(field, pieces->back());
        } else {
          Set(field, message);
        }
        continue;
      }
      reader.Skip(tag);
      if (IsValue(tag)) Set(field, std::string_view("", 0));
    }
  }

 private:
  static bool IsValue(uint32_t tag) {
    return tag == MakeTag(kInt64Value, kVarint) || tag == MakeTag(kFloatValue, kFixed32) ||
           tag == MakeTag(kDoubleValue, kFixed64) || tag == MakeTag(kBytesValue, kBytes);
  }
  void Set(uint32_t field, std::string_view message) {
    kind = field;
    data = message.data();
    size = static_cast<uint32_t>(message.size());
  }
};

// True if a message is one packed field of up to 127 bytes and nothing else, as most lists are.
inline bool IsOnePacked(std::string_view message, uint32_t field) {
  return message.size() >= 2 && static_cast<uint8_t>(message[0]) == MakeTag(field, kBytes) &&
         static_cast<uint8_t>(message[1]) == message.size() - 2 && message.size() < 130;
}

// Calls run(const char* values, size_t n) for the values of a repeated fixed-width field in their order, `width` bytes each.
template <typename Run>
void ForEachFixed(std::string_view message, uint32_t field, WireType type, Run run) {
  const size_t width = type == kFixed64 ? 8 : 4;
  if (IsOnePacked(message, field) && (message.size() - 2) % width == 0) {
    return run(message.data() + 2, (message.size() - 2) / width);
  }
  ProtoReader reader(message);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(field, kBytes)) {
      const std::string_view packed = reader.Bytes();
      if (packed.size() % width != 0) ThrowMalformed();
      run(packed.data(), packed.size() / width);
    } else {
      const char* value = reader.at();
      reader.Skip(tag);
      if (tag == MakeTag(field, type)) run(value, size_t{1});
    }
  }
}

// Calls value(uint64_t) for the values of a repeated varint field.
template <typename Value>
void ForEachVarint(std::string_view message, uint32_t field, Value value) {
  ProtoReader reader(message);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(field, kBytes)) {
      ProtoReader packed(reader.Bytes());
      while (!packed.Done()) value(packed.Varint());
    } else if (tag == MakeTag(field, kVarint)) {
      value(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
}

// Calls value(std::string_view) for the values of a repeated bytes or message field.
template <typename Value>
void ForEachBytes(std::string_view message, uint32_t field, Value value) {
  ProtoReader reader(message);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(field, kBytes)) {
      value(reader.Bytes());
    } else {
      reader.Skip(tag);
    }
  }
}

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_FEATURE_VIEW_H_
