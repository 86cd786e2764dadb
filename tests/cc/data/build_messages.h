// SPDX-License-Identifier: Apache-2.0
// Serialized messages, put together field by field.
#ifndef TESTS_CC_DATA_BUILD_MESSAGES_H_
#define TESTS_CC_DATA_BUILD_MESSAGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/data/proto_writer.h"

namespace monolith {
namespace testing {

// A field that holds bytes, a string or a message.
inline std::string Field(uint32_t number, const std::string& bytes) {
  std::string out;
  data::PutBytesField(&out, number, bytes);
  return out;
}

inline std::string VarintField(uint32_t number, uint64_t value) {
  std::string out;
  data::PutVarintField(&out, number, value);
  return out;
}

inline std::string FloatField(uint32_t number, float value) {
  std::string out;
  data::PutFloatField(&out, number, value);
  return out;
}

// A packed field of fixed width.
template <typename T>
std::string Packed(uint32_t number, const std::vector<T>& values) {
  return Field(number, std::string(reinterpret_cast<const char*>(values.data()), sizeof(T) * values.size()));
}

inline std::string PackedVarints(uint32_t number, const std::vector<uint64_t>& values) {
  std::string packed;
  for (const uint64_t value : values) wire::PutVarint(&packed, value);
  return Field(number, packed);
}

// A single value of a repeated field of fixed width that is not packed.
inline std::string Fixed64Field(uint32_t number, uint64_t value) {
  std::string out;
  wire::PutVarint(&out, data::MakeTag(number, data::kFixed64));
  return out.append(reinterpret_cast<const char*>(&value), 8);
}

using Fids = std::vector<uint64_t>;

inline std::string FidV1Feature(const Fids& fids) { return Field(1, Packed(1, fids)); }
inline std::string FidV2Feature(const Fids& fids) { return Field(2, Packed(1, fids)); }
inline std::string FloatFeature(const std::vector<float>& values) { return Field(3, Packed(1, values)); }
inline std::string BytesFeature(const std::string& value) { return Field(6, Field(1, value)); }
// Field 1 of an Example.
inline std::string Column(const std::string& name, const std::string& feature) {
  return Field(1, Field(1, name) + Field(2, feature));
}

inline uint64_t V1(uint64_t slot, uint64_t signature) { return slot << 54 | signature; }
inline uint64_t V2(uint64_t slot, uint64_t signature) { return slot << 48 | signature; }

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_DATA_BUILD_MESSAGES_H_
