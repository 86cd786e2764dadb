// SPDX-License-Identifier: Apache-2.0
// Reads messages in Protocol Buffers' wire format straight from bytes, taking and refusing what the protobuf library
// takes and refuses: unknown fields and groups are passed over, lengths have five bytes at most, a tag of 0 or an end of
// a group that never began is an error. Everything that does not fit throws Malformed.
#ifndef CC_DATA_PROTO_READER_H_
#define CC_DATA_PROTO_READER_H_

#include <cstdint>
#include <cstring>
#include <string_view>

#include "cc/data/data_error.h"

namespace monolith {
namespace data {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kStartGroup = 3, kEndGroup = 4, kFixed32 = 5 };

constexpr uint32_t MakeTag(uint32_t field, WireType type) { return field << 3 | type; }

constexpr int kDeepestMessage = 100;  // messages and groups inside one another

// The bytes are no message of the type that they are read as.
class Malformed : public DataError {
 public:
  Malformed() : DataError(Code::kFailedPrecondition, "the bytes are no such message") {}
};

[[noreturn]] inline void ThrowMalformed() { throw Malformed(); }

class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool Done() const { return at_ == end_; }
  const char* at() const { return at_; }

  // The next field's tag, 0 at the end.
  uint32_t Tag() {
    if (at_ == end_) return 0;
    const auto first = static_cast<uint8_t>(*at_);
    uint32_t tag = first;
    if (first < 0x80) {
      ++at_;
    } else {
      tag = LongTag();
    }
    if (tag >> 3 == 0) ThrowMalformed();
    return tag;
  }

  uint64_t Varint() {
    if (at_ != end_ && static_cast<uint8_t>(*at_) < 0x80) return static_cast<uint8_t>(*at_++);
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == end_) ThrowMalformed();
      const auto byte = static_cast<uint8_t>(*at_++);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    ThrowMalformed();
  }

  template <typename T>
  T Fixed() {
    if (static_cast<size_t>(end_ - at_) < sizeof(T)) ThrowMalformed();
    T value;
    std::memcpy(&value, at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  std::string_view Bytes() {
    const uint32_t size = Size();
    if (size > static_cast<size_t>(end_ - at_)) ThrowMalformed();
    const std::string_view bytes(at_, size);
    at_ += size;
    return bytes;
  }

  // Passes over the value of a field. `depth`: messages and groups that enclose it.
  void Skip(uint32_t tag, int depth = 0) {
    switch (tag & 7) {
      case kVarint:
        Varint();
        return;
      case kFixed64:
        Fixed<uint64_t>();
        return;
      case kBytes:
        Bytes();
        return;
      case kStartGroup:
        return SkipGroup(tag >> 3, depth + 1);
      case kFixed32:
        Fixed<uint32_t>();
        return;
    }
    ThrowMalformed();
  }

 private:
  uint32_t LongTag() {
    uint32_t tag = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      if (at_ == end_) ThrowMalformed();
      const auto byte = static_cast<uint8_t>(*at_++);
      tag |= static_cast<uint32_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return tag;
    }
    ThrowMalformed();
  }

  uint32_t Size() {
    uint64_t size = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      if (at_ == end_) ThrowMalformed();
      const auto byte = static_cast<uint8_t>(*at_++);
      size |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte >= 0x80) continue;
      if (size > 0x7FFFFFFF) ThrowMalformed();
      return static_cast<uint32_t>(size);
    }
    ThrowMalformed();
  }

  void SkipGroup(uint32_t field, int depth) {
    if (depth > kDeepestMessage) ThrowMalformed();
    while (true) {
      const uint32_t tag = Tag();
      if (tag == 0) ThrowMalformed();
      if ((tag & 7) == kEndGroup) {
        if (tag >> 3 != field) ThrowMalformed();
        return;
      }
      Skip(tag, depth);
    }
  }

  const char* at_;
  const char* end_;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_PROTO_READER_H_
