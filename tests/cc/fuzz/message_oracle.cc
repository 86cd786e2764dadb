// SPDX-License-Identifier: Apache-2.0
#include "tests/cc/fuzz/message_oracle.h"

#include <cstring>
#include <stdexcept>
#include <utility>

namespace monolith {
namespace testing {
namespace {

class Refused : public std::exception {};

constexpr int kMostNesting = 100;

using Fields = std::vector<WireField>;

class Cursor {
 public:
  explicit Cursor(const std::string& bytes) : bytes_(bytes) {}
  bool AtEnd() const { return at_ == bytes_.size(); }
  uint8_t Byte() {
    if (AtEnd()) throw Refused();
    return static_cast<uint8_t>(bytes_[at_++]);
  }
  // At most `most` bytes; bits beyond 64 are dropped.
  uint64_t Varint(int most) {
    uint64_t value = 0;
    for (int i = 0; i < most; ++i) {
      const uint8_t byte = Byte();
      if (7 * i < 64) value |= uint64_t{byte & 0x7Fu} << (7 * i);
      if (byte < 0x80) return value;
    }
    throw Refused();
  }
  uint64_t LittleEndian(int n) {
    uint64_t value = 0;
    for (int i = 0; i < n; ++i) value |= uint64_t{Byte()} << (8 * i);
    return value;
  }
  std::string String() {
    const uint64_t size = Varint(5);
    if (size > 0x7FFFFFFF || size > bytes_.size() - at_) throw Refused();
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }

 private:
  const std::string& bytes_;
  size_t at_ = 0;
};

// Reads fields to the end, or of a group to the end of it.
Fields ReadFields(Cursor* cursor, uint32_t group, int depth) {
  if (depth > kMostNesting) throw Refused();
  Fields fields;
  while (group != 0 || !cursor->AtEnd()) {
    const auto tag = static_cast<uint32_t>(cursor->Varint(5));
    WireField field;
    field.number = tag >> 3;
    field.type = tag & 7;
    if (field.number == 0) throw Refused();
    if (field.type == 0) {
      field.number_value = cursor->Varint(10);
    } else if (field.type == 1) {
      field.number_value = cursor->LittleEndian(8);
    } else if (field.type == 2) {
      field.bytes = cursor->String();
    } else if (field.type == 3) {
      ReadFields(cursor, field.number, depth + 1);
    } else if (field.type == 4) {
      if (field.number != group) throw Refused();
      return fields;
    } else if (field.type == 5) {
      field.number_value = cursor->LittleEndian(4);
    } else {
      throw Refused();
    }
    if (field.type != 3) fields.push_back(std::move(field));
  }
  return fields;
}

Fields FieldsOf(const std::string& bytes, int depth) {
  Cursor cursor(bytes);
  return ReadFields(&cursor, 0, depth);
}

// Repeated numbers of one field: packed or not. `type` is what they have when they are not.
std::vector<uint64_t> Numbers(const WireField& field, int type) {
  if (field.type == type) return {field.number_value};
  if (field.type != 2) return {};
  std::vector<uint64_t> numbers;
  Cursor cursor(field.bytes);
  while (!cursor.AtEnd()) {
    numbers.push_back(type == 0 ? cursor.Varint(10) : cursor.LittleEndian(type == 1 ? 8 : 4));
  }
  return numbers;
}

float FloatOf(uint64_t bits) {
  const auto low = static_cast<uint32_t>(bits);
  float value;
  std::memcpy(&value, &low, 4);
  return value;
}

double DoubleOf(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, 8);
  return value;
}

void RequireUtf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) { return k < text.size() ? static_cast<uint8_t>(text[k]) : 0u; };
    const uint32_t first = byte(i);
    uint32_t code = first;
    int more = 0;
    if (first >= 0x80) {
      more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : -1;
      if (more < 0 || first > 0xF7) throw Refused();
      code = first & (0x3F >> more);
      for (int k = 1; k <= more; ++k) {
        if ((byte(i + k) & 0xC0) != 0x80) throw Refused();
        code = code << 6 | (byte(i + k) & 0x3F);
      }
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) throw Refused();
    i += more + 1;
  }
}

// A *List message of a kind of Feature.
void ReadList(uint32_t kind, const std::string& bytes, int depth, OracleFeature* feature) {
  for (const WireField& field : FieldsOf(bytes, depth)) {
    if (field.number != 1) continue;
    if (kind == 1 || kind == 2) {
      for (const uint64_t fid : Numbers(field, 1)) feature->fids.push_back(fid);
    } else if (kind == 3) {
      for (const uint64_t bits : Numbers(field, 5)) feature->floats.push_back(FloatOf(bits));
    } else if (kind == 4) {
      for (const uint64_t bits : Numbers(field, 1)) feature->doubles.push_back(DoubleOf(bits));
    } else if (kind == 5) {
      for (const uint64_t value : Numbers(field, 0)) feature->ints.push_back(static_cast<int64_t>(value));
    } else if (field.type == 2 && kind == 6) {
      feature->strings.push_back(field.bytes);
    } else if (field.type == 2 && kind != 6) {
      OracleFeature ignored;
      static const uint32_t inner[] = {2, 3, 4, 5, 6, 0, 0, 0, 0, 1};  // of kinds 7 to 16
      ReadList(inner[kind - 7], field.bytes, depth + 1, &ignored);
    }
  }
}

void ReadFeature(const std::string& bytes, int depth, OracleFeature* feature) {
  for (const WireField& field : FieldsOf(bytes, depth)) {
    const bool list = field.type == 2 && ((field.number >= 1 && field.number <= 11) || field.number == 16);
    const bool value = (field.number == 12 && field.type == 0) || (field.number == 13 && field.type == 5) ||
                       (field.number == 14 && field.type == 1) || (field.number == 15 && field.type == 2);
    if (!list && !value) continue;
    if (field.number != feature->kind) *feature = OracleFeature();
    feature->kind = field.number;
    if (list) ReadList(field.number, field.bytes, depth + 1, feature);
  }
}

void ReadRawFeature(const std::string& bytes, int depth) {
  for (const WireField& field : FieldsOf(bytes, depth)) {
    OracleFeature ignored;
    if (field.number == 1 && field.type == 2) ReadFeature(field.bytes, depth + 1, &ignored);
  }
}

// NamedFeature and NamedFeatureList, or their raw twins.
struct OracleNamed {
  std::string name;
  OracleFeature merged;
  std::vector<OracleFeature> list;
  uint64_t type = 0;
};

OracleNamed ReadNamed(const std::string& bytes, bool raw, int depth) {
  OracleNamed named;
  for (const WireField& field : FieldsOf(bytes, depth)) {
    if (field.number == 1 && field.type == 2) {
      RequireUtf8(field.bytes);
      named.name = field.bytes;
    } else if (field.number == 2 && field.type == 2 && raw) {
      ReadRawFeature(field.bytes, depth + 1);
    } else if (field.number == 2 && field.type == 2) {
      ReadFeature(field.bytes, depth + 1, &named.merged);
      named.list.emplace_back();
      ReadFeature(field.bytes, depth + 1, &named.list.back());
    } else if (field.number == 3 && field.type == 0) {
      named.type = field.number_value & 0xFFFFFFFF;
    }
  }
  return named;
}

void ReadLineId(const std::string& bytes, int depth, OracleLineId* line_id) {
  for (const WireField& field : FieldsOf(bytes, depth)) {
    if (field.number == 2 && field.type == 1) line_id->uid = field.number_value;
    if (field.number == 19 && field.type == 0) line_id->chnid = static_cast<int64_t>(field.number_value);
    if (field.number == 27 && field.type == 5) line_id->sample_rate = FloatOf(field.number_value);
    if (field.number == 41 && field.type == 2) line_id->device_type = field.bytes;
    if (field.number == 87 && field.type == 0) line_id->is_draw = field.number_value != 0;
    if (field.number != 6 && field.number != 23 && field.number != 39) continue;
    for (const uint64_t action : Numbers(field, 0)) {
      if (field.number == 6) line_id->actions.push_back(static_cast<int32_t>(action));
    }
  }
}

void ReadInstanceFeature(const std::string& bytes, int depth, OracleRow* row) {
  OracleFeature feature;
  std::vector<uint64_t> listed;
  std::string name;
  for (const WireField& field : FieldsOf(bytes, depth)) {
    if (field.number == 1 && field.type == 2) name = field.bytes;
    if (field.number >= 2 && field.number <= 4) {
      OracleFeature ignored;
      for (const uint64_t value : Numbers(field, field.number == 2 ? 1 : field.number == 3 ? 5 : 0)) {
        if (field.number == 2) feature.fids.push_back(value);
        if (field.number == 3) feature.floats.push_back(FloatOf(value));
        if (field.number == 4) feature.ints.push_back(static_cast<int64_t>(value));
      }
    }
    if (field.type != 2) continue;
    if (field.number == 5) feature.strings.push_back(field.bytes);
    if (field.number >= 6 && field.number <= 9) {
      static const uint32_t kinds[] = {2, 3, 5, 6};
      OracleFeature list;
      ReadList(kinds[field.number - 6], field.bytes, depth + 1, &list);
      listed.insert(listed.end(), list.fids.begin(), list.fids.end());
    }
  }
  feature.fids.insert(feature.fids.end(), listed.begin(), listed.end());
  row->columns[name] = feature;
}

OracleRow ReadExample(const std::string& bytes) {
  OracleRow row;
  for (const WireField& field : FieldsOf(bytes, 0)) {
    if (field.number == 1 && field.type == 2) {
      OracleNamed named = ReadNamed(field.bytes, false, 1);
      row.columns[named.name] = named.merged;
    } else if (field.number == 2 && field.type == 2) {
      ReadNamed(field.bytes, true, 1);
    } else if (field.number == 100 && field.type == 2) {
      ReadLineId(field.bytes, 1, &row.line_id);
    } else if (field.number == 101) {
      for (const uint64_t bits : Numbers(field, 5)) row.labels.push_back(FloatOf(bits));
    } else if (field.number == 102 && field.type == 5) {
      row.weight = FloatOf(field.number_value);
    }
  }
  return row;
}

OracleBatch ReadBatch(const std::string& bytes) {
  OracleBatch batch;
  for (const WireField& field : FieldsOf(bytes, 0)) {
    if (field.number == 1 && field.type == 2) {
      OracleNamed named = ReadNamed(field.bytes, false, 1);
      batch.columns[named.name] = named.list;
      batch.shared[named.name] = named.type == 1;
    } else if (field.number == 2 && field.type == 2) {
      ReadNamed(field.bytes, true, 1);
    } else if (field.number == 3 && field.type == 0) {
      batch.batch_size = static_cast<int32_t>(field.number_value);
    }
  }
  return batch;
}

OracleRow ReadInstance(const std::string& bytes) {
  OracleRow row;
  for (const WireField& field : FieldsOf(bytes, 0)) {
    if (field.number == 1) {
      for (const uint64_t fid : Numbers(field, 1)) row.v1_fids.push_back(fid);
    } else if (field.number == 2 || field.number == 3 || field.number == 6) {
      for (const uint64_t bits : Numbers(field, 5)) {
        if (field.number == 3) row.labels.push_back(FloatOf(bits));
      }
    } else if (field.number == 4 && field.type == 5) {
      row.weight = FloatOf(field.number_value);
    } else if (field.number == 5 && field.type == 2) {
      ReadLineId(field.bytes, 1, &row.line_id);
    } else if (field.number == 7 && field.type == 2) {
      FieldsOf(field.bytes, 1);
    } else if (field.number == 8) {
      Numbers(field, 1);
    } else if (field.number == 9 && field.type == 2) {
      ReadInstanceFeature(field.bytes, 1, &row);
    }
  }
  return row;
}

template <typename Read>
auto Decoded(Read read) -> std::optional<decltype(read())> {
  try {
    return read();
  } catch (const Refused&) {
    return std::nullopt;
  }
}

}  // namespace

std::optional<std::vector<WireField>> DecodeFields(const std::string& bytes) {
  return Decoded([&] { return FieldsOf(bytes, 0); });
}
std::optional<OracleRow> DecodeExample(const std::string& bytes) {
  return Decoded([&] { return ReadExample(bytes); });
}
std::optional<OracleBatch> DecodeExampleBatch(const std::string& bytes) {
  return Decoded([&] { return ReadBatch(bytes); });
}
std::optional<OracleRow> DecodeInstance(const std::string& bytes) {
  return Decoded([&] { return ReadInstance(bytes); });
}
std::optional<OracleLineId> DecodeLineId(const std::string& bytes) {
  return Decoded([&] {
    OracleLineId line_id;
    ReadLineId(bytes, 0, &line_id);
    return line_id;
  });
}

}  // namespace testing
}  // namespace monolith
