// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_PROTO_WRITER_H_
#define CC_DATA_PROTO_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "cc/data/proto_reader.h"
#include "cc/hash_table/wire.h"

namespace monolith {
namespace data {

inline void PutVarintField(std::string* out, uint32_t field, uint64_t value) {
  wire::PutVarint(out, MakeTag(field, kVarint));
  wire::PutVarint(out, value);
}

inline void PutBytesField(std::string* out, uint32_t field, std::string_view bytes) {
  wire::PutVarint(out, MakeTag(field, kBytes));
  wire::PutVarint(out, bytes.size());
  out->append(bytes);
}

inline void PutFloatField(std::string* out, uint32_t field, float value) {
  wire::PutVarint(out, MakeTag(field, kFixed32));
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Copies the field whose tag was just read, under another number. A repeated field keeps its meaning: packed and single
// values are read alike, and pieces of a message are merged. A group, which no field of ours is, is dropped: its end
// has the number as well.
inline void CopyFieldAs(ProtoReader* reader, uint32_t tag, uint32_t field, std::string* out) {
  if ((tag & 7) == kStartGroup) return reader->Skip(tag);
  wire::PutVarint(out, MakeTag(field, static_cast<WireType>(tag & 7)));
  const char* begin = reader->at();
  reader->Skip(tag);
  out->append(begin, reader->at() - begin);
}

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_PROTO_WRITER_H_
