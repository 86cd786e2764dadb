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

// A float field in one store of eight bytes, of which the next field overwrites the last three.
char* PutFloats(char* at, int number, const char* values, int count) {
  const uint64_t tag = wire::Tag(number, wire::kFixed32);
  for (int i = 0; i < count; ++i, at += kFloatFieldBytes) {
    uint32_t bits;
    std::memcpy(&bits, values + 4 * i, 4);
    const uint64_t field = tag | uint64_t{bits} << 8;
    std::memcpy(at, &field, sizeof(field));
  }
  return at;
}

char* PutFields(char* at, const StateSchema& schema, const char* state) {
  for (const StateField& field : schema.fields) {
    if (field.type == StateField::Type::kInt64) {
      uint64_t value;
      std::memcpy(&value, state + field.offset, 8);
      at = wire::PutVarint(at, wire::Tag(field.number, wire::kVarint));
      at = wire::PutVarint(at, value);
    } else {
      at = PutFloats(at, field.number, state + field.offset, field.count);
    }
  }
  return at;
}

// The sizes of a SingleOptimizerDump: of the optimizer's message, and of what lies around it.
struct StateSizes {
  size_t fields, single;
};

StateSizes SizesOf(const StateSchema& schema, const char* state) {
  const size_t fields = FieldsSize(schema, state);
  return {fields, wire::VarintSize(wire::Tag(schema.member, wire::kBytes)) + wire::VarintSize(fields) + fields};
}

// How many float fields of the tag `tag` lie back to back at the front of `bytes`.
size_t CountFloatFields(std::string_view bytes, char tag) {
  size_t n = 0;
  while (kFloatFieldBytes * (n + 1) <= bytes.size() && bytes[kFloatFieldBytes * n] == tag) ++n;
  return n;
}

void CopyFloatFields(const char* fields, size_t n, char* floats) {
  for (size_t i = 0; i < n; ++i) std::memcpy(floats + 4 * i, fields + kFloatFieldBytes * i + 1, 4);
}

// Appends the floats of a repeated field, packed or not. Where fields of `number` follow one another, takes all of them.
bool ReadFloats(wire::Reader* reader, int number, wire::Type type, std::vector<float>* floats) {
  const size_t start = floats->size();
  if (type == wire::kFixed32) {
    float value;
    if (!reader->Fixed(&value)) return false;
    const uint32_t tag = wire::Tag(number, type);
    const size_t more = tag < 0x80 ? CountFloatFields(reader->Rest(), static_cast<char>(tag)) : 0;
    floats->resize(start + 1 + more);
    (*floats)[start] = value;
    CopyFloatFields(reader->Rest().data(), more, reinterpret_cast<char*>(floats->data() + start + 1));
    reader->Pass(kFloatFieldBytes * more);
    return true;
  }
  std::string_view packed;
  if (type != wire::kBytes || !reader->Bytes(&packed) || packed.size() % 4 != 0) return false;
  floats->resize(start + packed.size() / 4);
  if (!packed.empty()) std::memcpy(floats->data() + start, packed.data(), packed.size());
  return true;
}

bool ReadOptimizerStates(std::string_view bytes, std::vector<EntryDump::OptimizerState>* states) {
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
    states->push_back(state);
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
      read = ReadFloats(&reader, number, type, &floats);
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

// Takes a state whose message is as this library writes it: every field of the schema once, in order, floats unpacked.
// Returns false, having changed nothing, for any other, and for schemas with integers.
bool RestoreOwnState(std::string_view message, const StateSchema& schema, char* state) {
  std::string_view left = message;
  for (const StateField& field : schema.fields) {
    const uint32_t tag = wire::Tag(field.number, wire::kFixed32);
    const size_t bytes = kFloatFieldBytes * field.count;
    if (field.type == StateField::Type::kInt64 || tag >= 0x80 || left.size() < bytes) return false;
    if (kFloatFieldBytes * CountFloatFields(left.substr(0, bytes), static_cast<char>(tag)) != bytes) return false;
    left.remove_prefix(bytes);
  }
  if (!left.empty()) return false;
  const char* at = message.data();
  for (const StateField& field : schema.fields) {
    CopyFloatFields(at, field.count, state + field.offset);
    at += kFloatFieldBytes * field.count;
  }
  return true;
}

// Appends what it reads to `values` and `states`.
bool ParseEntry(std::string_view bytes, int64_t* fid, uint32_t* update_ts, std::vector<float>* values,
                std::vector<EntryDump::OptimizerState>* states) {
  wire::Reader reader(bytes);
  int field;
  wire::Type type;
  while (reader.Next(&field, &type)) {
    bool read;
    std::string_view message;
    uint64_t varint = 0;
    if (field == kId && type == wire::kFixed64) {
      read = reader.Fixed(fid);
    } else if (field == kNum) {
      read = ReadFloats(&reader, field, type, values);
    } else if (field == kOpt && type == wire::kBytes) {
      read = reader.Bytes(&message) && ReadOptimizerStates(message, states);
    } else if (field == kUpdateTime && type == wire::kVarint) {
      read = reader.Varint(&varint);
      *update_ts = static_cast<uint32_t>(
          std::clamp<int64_t>(static_cast<int64_t>(varint), 0, std::numeric_limits<uint32_t>::max()));
    } else {
      read = reader.Skip(type);
    }
    if (!read) return false;
  }
  return !reader.Failed();
}

}  // namespace

void EntryDumpWriter::WriteFid(int64_t fid) {
  *at_++ = static_cast<char>(wire::Tag(kId, wire::kFixed64));
  std::memcpy(at_, &fid, sizeof(fid));
  at_ += sizeof(fid);
}

void EntryDumpWriter::WriteValues(const float* values, int dim) {
  at_ = PutFloats(at_, kNum, reinterpret_cast<const char*>(values), dim);
}

void EntryDumpWriter::WriteOptimizerStates(const std::vector<const StateSchema*>& schemas,
                                           const std::vector<int>& state_bytes, const char* states) {
  size_t list = 0;
  const char* state = states;
  for (size_t i = 0; i < schemas.size(); state += state_bytes[i++]) {
    if (schemas[i] == nullptr) continue;
    const size_t single = SizesOf(*schemas[i], state).single;
    list += 1 + wire::VarintSize(single) + single;
  }
  at_ = wire::PutVarint(at_, wire::Tag(kOpt, wire::kBytes));
  at_ = wire::PutVarint(at_, list);
  state = states;
  for (size_t i = 0; i < schemas.size(); state += state_bytes[i++]) {
    if (schemas[i] == nullptr) continue;
    const StateSizes sizes = SizesOf(*schemas[i], state);
    at_ = wire::PutVarint(at_, wire::Tag(kDump, wire::kBytes));
    at_ = wire::PutVarint(at_, sizes.single);
    at_ = wire::PutVarint(at_, wire::Tag(schemas[i]->member, wire::kBytes));
    at_ = wire::PutVarint(at_, sizes.fields);
    at_ = PutFields(at_, *schemas[i], state);
  }
}

void EntryDumpWriter::WriteUpdateTime(uint32_t seconds) {
  *at_++ = static_cast<char>(wire::Tag(kUpdateTime, wire::kVarint));
  at_ = wire::PutVarint(at_, seconds);
}

size_t MostEntryBytes(int dim, const std::vector<const StateSchema*>& schemas) {
  constexpr size_t kTagAndVarint = 1 + wire::kMostVarint, kFid = 9, kOverwritten = 3;
  size_t most = kFid + kFloatFieldBytes * dim + 2 * kTagAndVarint + kOverwritten;
  for (const StateSchema* schema : schemas) {
    if (schema == nullptr) continue;
    most += 2 * wire::kMostVarint + 2 * kTagAndVarint;
    for (const StateField& field : schema->fields) {
      most += field.type == StateField::Type::kInt64 ? kTagAndVarint : kFloatFieldBytes * field.count;
    }
  }
  return most;
}

bool ParseEntryDump(std::string_view bytes, EntryDump* dump) {
  *dump = EntryDump();
  return ParseEntry(bytes, &dump->fid, &dump->update_ts, &dump->values, &dump->optimizer_states);
}

bool SavedEntries::Add(std::string_view bytes) {
  entries_.push_back({0, 0, values_.size(), states_.size()});
  if (ParseEntry(bytes, &entries_.back().fid, &entries_.back().update_ts, &values_, &states_)) return true;
  RemoveLast();
  return false;
}

void SavedEntries::RemoveLast() {
  values_.resize(entries_.back().first_value);
  states_.resize(entries_.back().first_state);
  entries_.pop_back();
}

SavedEntry SavedEntries::operator[](size_t i) const {
  const Entry& entry = entries_[i];
  const bool last = i + 1 == entries_.size();
  const size_t values_end = last ? values_.size() : entries_[i + 1].first_value;
  const size_t states_end = last ? states_.size() : entries_[i + 1].first_state;
  return {entry.fid,
          entry.update_ts,
          values_.data() + entry.first_value,
          values_end - entry.first_value,
          states_.data() + entry.first_state,
          states_end - entry.first_state};
}

bool RestoreState(const EntryDump::OptimizerState& saved, const StateSchema& schema, int state_bytes, char* state) {
  if (saved.member != schema.member) return false;
  if (RestoreOwnState(saved.message, schema, state)) return true;
  std::string restored(state, state_bytes);
  for (const StateField& field : schema.fields) {
    if (!ReadStateField(saved.message, field, restored.data())) return false;
  }
  std::copy(restored.begin(), restored.end(), state);
  return true;
}

}  // namespace monolith
