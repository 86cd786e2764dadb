// SPDX-License-Identifier: Apache-2.0
#include "cc/data/record_head.h"

#include <cstring>

#include "cc/data/data_error.h"
#include "cc/data/proto_writer.h"

namespace monolith {
namespace data {
namespace {

void AppendFloats(std::string_view bytes, std::vector<float>* floats) {
  const size_t before = floats->size();
  floats->resize(before + bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(floats->data() + before, bytes.data(), bytes.size());
}

}  // namespace

uint32_t LabelField(MessageType type) { return type == MessageType::kExample ? 101 : 3; }
uint32_t LineIdNumber(MessageType type) { return type == MessageType::kExample ? 100 : 5; }
uint32_t WeightField(MessageType type) { return type == MessageType::kExample ? 102 : 4; }

void CheckHasHead(MessageType type) {
  if (type == MessageType::kInstance || type == MessageType::kExample) return;
  throw DataError(DataError::Code::kInvalidArgument,
                  std::string("variant_type is ") + NameOf(type) + "; use instance or example.");
}

RecordHead::RecordHead(MessageType type, std::string_view record) {
  const uint32_t label = LabelField(type), line_id = LineIdNumber(type);
  ProtoReader reader(record);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(label, kBytes)) {
      AppendFloats(reader.Bytes(), &labels_);
    } else if (tag == MakeTag(label, kFixed32)) {
      labels_.push_back(reader.Fixed<float>());
    } else if (tag == MakeTag(line_id, kBytes)) {
      const std::string_view piece = reader.Bytes();
      if (line_id_.empty()) {
        line_id_ = piece;
      } else {
        if (merged_.empty()) merged_ = line_id_;
        line_id_ = merged_.append(piece);
      }
    } else {
      reader.Skip(tag);
    }
  }
}

std::vector<int64_t> RecordHead::Ints(const char* field) const {
  return ReadLineIdField(*LineIdFieldNamed(field), line_id_).ints;
}

void PutLabels(MessageType type, const std::vector<float>& labels, std::string* record) {
  if (labels.empty()) return;
  const auto* bytes = reinterpret_cast<const char*>(labels.data());
  PutBytesField(record, LabelField(type), std::string_view(bytes, sizeof(float) * labels.size()));
}

std::string WithLabels(MessageType type, std::string_view record, const std::vector<float>& labels) {
  const uint32_t label = LabelField(type);
  std::string changed;
  changed.reserve(record.size() + 4 * labels.size() + 8);
  ProtoReader reader(record);
  while (true) {
    const char* begin = reader.at();
    const uint32_t tag = reader.Tag();
    if (tag == 0) break;
    reader.Skip(tag);
    if (tag != MakeTag(label, kBytes) && tag != MakeTag(label, kFixed32)) changed.append(begin, reader.at() - begin);
  }
  PutLabels(type, labels, &changed);
  return changed;
}

std::string WithItem(std::string_view line_id, uint64_t item_id, const std::vector<int32_t>& actions) {
  const uint32_t item_field = LineIdFieldNamed("item_id")->number, action_field = LineIdFieldNamed("actions")->number;
  std::string changed;
  ProtoReader reader(line_id);
  while (true) {
    const char* begin = reader.at();
    const uint32_t tag = reader.Tag();
    if (tag == 0) break;
    reader.Skip(tag);
    const bool drop = tag == MakeTag(item_field, kFixed64) || (!actions.empty() && tag >> 3 == action_field);
    if (!drop) changed.append(begin, reader.at() - begin);
  }
  wire::PutVarint(&changed, MakeTag(item_field, kFixed64));
  changed.append(reinterpret_cast<const char*>(&item_id), sizeof(item_id));
  for (const int32_t action : actions) PutVarintField(&changed, action_field, static_cast<uint64_t>(int64_t{action}));
  return changed;
}

void AppendAction(MessageType type, int32_t action, std::string* record) {
  std::string line_id;
  PutVarintField(&line_id, LineIdFieldNamed("actions")->number, static_cast<uint64_t>(int64_t{action}));
  PutBytesField(record, LineIdNumber(type), line_id);
}

void AppendSampleRate(MessageType type, float sample_rate, std::string* record) {
  std::string line_id;
  PutFloatField(&line_id, LineIdFieldNamed("sample_rate")->number, sample_rate);
  PutBytesField(record, LineIdNumber(type), line_id);
}

}  // namespace data
}  // namespace monolith
