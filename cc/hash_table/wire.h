// SPDX-License-Identifier: Apache-2.0
// Protocol Buffers' wire format: just what reading and writing records by hand takes.
#ifndef CC_HASH_TABLE_WIRE_H_
#define CC_HASH_TABLE_WIRE_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace monolith {
namespace wire {

enum Type : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

inline uint32_t Tag(int field, Type type) { return static_cast<uint32_t>(field) << 3 | type; }

inline void PutVarint(std::string* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

// The same into memory that has room for it; returns the end.
inline char* PutVarint(char* at, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
  *at++ = static_cast<char>(value);
  return at;
}

constexpr size_t kMostVarint = 10;

inline size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// Reads fields one after another. Every method returns false, and Failed() turns true, where the bytes break off.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool Done() const { return at_ == end_; }
  bool Failed() const { return failed_; }
  // What has not been read.
  std::string_view Rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }
  // Passes over bytes. Requires: Rest() has so many.
  void Pass(size_t bytes) { at_ += bytes; }

  bool Next(int* field, Type* type) {
    uint64_t tag;
    if (failed_ || Done() || !Varint(&tag)) return false;
    *field = static_cast<int>(tag >> 3);
    *type = static_cast<Type>(tag & 7);
    return *field > 0 || Fail();
  }

  bool Varint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) return Fail();
      const uint8_t byte = static_cast<uint8_t>(*at_++);
      *value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return Fail();
  }

  template <typename T>
  bool Fixed(T* value) {
    if (static_cast<size_t>(end_ - at_) < sizeof(T)) return Fail();
    std::memcpy(value, at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }

  bool Bytes(std::string_view* value) {
    uint64_t size;
    if (!Varint(&size)) return false;
    if (size > static_cast<uint64_t>(end_ - at_)) return Fail();
    *value = std::string_view(at_, size);
    at_ += size;
    return true;
  }

  bool Skip(Type type) {
    uint64_t varint;
    uint32_t fixed32;
    std::string_view bytes;
    switch (type) {
      case kVarint:
        return Varint(&varint);
      case kFixed64:
        return Fixed(&varint);
      case kBytes:
        return Bytes(&bytes);
      case kFixed32:
        return Fixed(&fixed32);
    }
    return Fail();
  }

 private:
  bool Fail() {
    failed_ = true;
    at_ = end_;
    return false;
  }

  const char* at_;
  const char* end_;
  bool failed_ = false;
};

}  // namespace wire
}  // namespace monolith

#endif  // CC_HASH_TABLE_WIRE_H_
