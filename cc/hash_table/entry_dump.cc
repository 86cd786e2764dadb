// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/entry_dump.h"

#include <algorithm>
#include <limits>

#include "cc/hash_table/wire.h"

namespace monolith {
namespace {

// Field numbers of EntryDump and OptimizerDump.
enum EntryField { kId = 1, kNum = 2, kOpt = 3, kUpdateTime = 4 };
constexpr int kDump = 1;

constexpr size_t kFloatFieldBytes = 5;  // a one-byte tag and the float

size_t FieldsSize(const StateSchema& schema, const char* state) {
  size_t size = 0;
  for (const StateField& field : schema.fields) {
    if (field.type == StateField::Type::kInt64) {
      uint64_t value;
      std::memcpy(&value, state + field.offset, 8);
      size += 1 + wire::VarintSize(value);
    } else {
      size += kFloatFieldBytes * field.count;
    }
  }
  return size;
}

void PutFloats(std::string* out, int number, const char* values, int count) {
  const size_t start = out->size();
  out->resize(start + kFloatFieldBytes * count);
  char* at = &(*out)[start];
  const char tag = static_cast<char>(wire::Tag(number, wire::kFixed32));
  for (int i = 0; i < count; ++i, at += kFloatFieldBytes) {
    *at = tag;
    std::memcpy(at + 1, values + 4 * i, 4);
  }
}

void PutFields(std::string* out, const StateSchema& schema, const char* state) {
  for (const StateField& field : schema.fields) {
    if (field.type == StateField::Type::kInt64) {
      uint64_t value;
      std::memcpy(&value, state + field.offset, 8);
      wire::PutVarint(out, wire::Tag(field.number, wire::kVarint));
      wire::PutVarint(out, value);
    } else {
      PutFloats(out, field.number, state + field.offset, field.count);
    }
  }
}

// Appends the floats of a repeated field, packed or not.
bool ReadFloats(wire::Reader* reader, wire::Type type, std::vector<float>* floats) {
  if (type == wire::kFixed32) {
    float value;
    if (!reader->Fixed(&value)) return false;
    floats->push_back(value);
    return true;
  }
  std::string_view packed;
  if (type != wire::kBytes || !reader->Bytes(&packed) || packed.size() % 4 != 0) return false;
  const size_t start = floats->size();
  floats->resize(start + packed.size() / 4);
  if (!packed.empty()) std::memcpy(floats->data() + start, packed.data(), packed.size());
  return true;
}

bool ReadOptimizerStates(std::string_view bytes, EntryDump* dump) {
  wire::Reader list(bytes);
  int field;
  wire::Type type;
  while (list.Next(&field, &type)) {
    std::string_view single;
    if (field != kDump || type != wire::kBytes) {
      if (!list.Skip(type)) return false;
      continue;
    }
    if (!list.Bytes(&single)) return false;
    EntryDump::OptimizerState state;
    wire::Reader members(single);
    while (members.Next(&field, &type)) {
      if (type == wire::kBytes) {
        state.member = field;
        if (!members.Bytes(&state.message)) return false;
      } else if (!members.Skip(type)) {
        return false;
      }
    }
    if (members.Failed()) return false;
    dump->optimizer_states.push_back(state);
  }
  return !list.Failed();
}

bool ReadStateField(std::string_view message, const StateField& field, char* state) {
  std::vector<float> floats;
  if (field.type != StateField::Type::kInt64) floats.reserve(field.count);
  uint64_t integer = 0;
  bool has_integer = false;
  wire::Reader reader(message);
  int number;
  wire::Type type;
  while (reader.Next(&number, &type)) {
    bool read;
    if (number != field.number) {
      read = reader.Skip(type);
    } else if (field.type == StateField::Type::kInt64) {
      read = type == wire::kVarint && reader.Varint(&integer);
      has_integer = true;
    } else {
      read = ReadFloats(&reader, type, &floats);
    }
    if (!read) return false;
  }
  if (reader.Failed()) return false;
  if (field.type == StateField::Type::kInt64) {
    std::memcpy(state + field.offset, &integer, 8);
    return has_integer;
  }
  if (floats.size() != static_cast<size_t>(field.count)) return false;
  std::memcpy(state + field.offset, floats.data(), 4 * floats.size());
  return true;
}

}  // namespace

void EntryDumpWriter::WriteFid(int64_t fid) {
  out_->push_back(static_cast<char>(wire::Tag(kId, wire::kFixed64)));
  out_->append(reinterpret_cast<const char*>(&fid), 8);
}

void EntryDumpWriter::WriteValues(const float* values, int dim) {
  PutFloats(out_, kNum, reinterpret_cast<const char*>(values), dim);
}

void EntryDumpWriter::WriteOptimizerStates(const std::vector<const StateSchema*>& schemas,
                                           const std::vector<int>& state_bytes, const char* states) {
  std::string list;
  for (size_t i = 0; i < schemas.size(); states += state_bytes[i++]) {
    if (schemas[i] == nullptr) continue;
    const size_t fields = FieldsSize(*schemas[i], states);
    wire::PutVarint(&list, wire::Tag(kDump, wire::kBytes));
    wire::PutVarint(&list, 1 + wire::VarintSize(fields) + fields);
    wire::PutVarint(&list, wire::Tag(schemas[i]->member, wire::kBytes));
    wire::PutVarint(&list, fields);
    PutFields(&list, *schemas[i], states);
  }
  wire::PutVarint(out_, wire::Tag(kOpt, wire::kBytes));
  wire::PutVarint(out_, list.size());
  out_->append(list);
}

void EntryDumpWriter::WriteUpdateTime(uint32_t seconds) {
  out_->push_back(static_cast<char>(wire::Tag(kUpdateTime, wire::kVarint)));
  wire::PutVarint(out_, seconds);
}

bool ParseEntryDump(std::string_view bytes, EntryDump* dump) {
  *dump = EntryDump();
  wire::Reader reader(bytes);
  int field;
  wire::Type type;
  while (reader.Next(&field, &type)) {
    bool read;
    std::string_view message;
    uint64_t varint = 0;
    if (field == kId && type == wire::kFixed64) {
      read = reader.Fixed(&dump->fid);
    } else if (field == kNum) {
      read = ReadFloats(&reader, type, &dump->values);
    } else if (field == kOpt && type == wire::kBytes) {
      read = reader.Bytes(&message) && ReadOptimizerStates(message, dump);
    } else if (field == kUpdateTime && type == wire::kVarint) {
      read = reader.Varint(&varint);
      dump->update_ts = static_cast<uint32_t>(
          std::clamp<int64_t>(static_cast<int64_t>(varint), 0, std::numeric_limits<uint32_t>::max()));
    } else {
      read = reader.Skip(type);
    }
    if (!read) return false;
  }
  return !reader.Failed();
}

bool RestoreState(const EntryDump::OptimizerState& saved, const StateSchema& schema, int state_bytes, char* state) {
  if (saved.member != schema.member) return false;
  std::string restored(state, state_bytes);
  for (const StateField& field : schema.fields) {
    if (!ReadStateField(saved.message, field, restored.data())) return false;
  }
  std::copy(restored.begin(), restored.end(), state);
  return true;
}

}  // namespace monolith
