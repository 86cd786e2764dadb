// SPDX-License-Identifier: Apache-2.0
#include "cc/data/convert.h"

#include <cstring>
#include <map>

#include "cc/data/data_error.h"
#include "cc/data/example_columns.h"
#include "cc/data/fid.h"
#include "cc/data/proto_writer.h"

namespace monolith {
namespace data {
namespace {

// Field numbers.
enum Example {
  kNamedFeature = 1,
  kNamedRawFeature = 2,
  kLineId = 100,
  kLabel = 101,
  kWeight = 102,
  kExampleSource = 103
};
enum Instance {
  kFid = 1,
  kValue = 2,
  kInstanceLabel = 3,
  kInstanceWeight = 4,
  kInstanceLineId = 5,
  kFeature = 9,
  kInstanceSource = 100
};
enum Named { kName = 1, kNamedValue = 2, kNamedId = 3, kListType = 3, kListId = 4 };
enum Batch { kColumns = 1, kRawColumns = 2, kBatchSize = 3, kBatchSource = 100 };

// Rows that a batch whose columns are all shared may have.
constexpr int64_t kMostSharedRows = 65536;
constexpr uint32_t kShared = 1;

// Where an Instance's Feature keeps each kind of an Example's; 0: nowhere.
constexpr uint32_t kInstanceField[] = {0, 0, 2, 3, 0, 4, 5, 6, 7, 0, 8, 9, 0, 0, 0, 0, 0};
// The kinds of an Instance's Feature in the order in which the first is taken, with the kinds of an Example.
struct KindPair {
  uint32_t instance_field, example_kind;
};
constexpr KindPair kKinds[] = {{2, kFidV2List},  {3, kFloatList},  {4, kInt64List},  {5, kBytesList},
                               {6, kFidV2Lists}, {7, kFloatLists}, {8, kInt64Lists}, {9, kBytesLists}};

bool IsSpecial(std::string_view name) { return name == kLineIdColumn || name == kLabelColumn || name == kWeightColumn; }

[[noreturn]] void ThrowBadSpecial(std::string_view name, const std::string& what) {
  throw DataError(DataError::Code::kFailedPrecondition,
                  "Failed to parse the column " + std::string(name) + ": " + what + ".");
}

// Appends the field of an Example that a special column stands for.
void PutSpecialField(std::string_view name, const FeatureView& feature, std::string* example) {
  if (name == kLineIdColumn) {
    bool found = false;
    if (feature.kind == kBytesList) {
      ForEachBytes(feature.payload(), 1, [&](std::string_view line_id) {
        if (found) return;
        found = true;
        if (!IsLineId(line_id)) ThrowBadSpecial(name, "its bytes are no LineId");
        PutBytesField(example, kLineId, line_id);
      });
    }
    if (!found) ThrowBadSpecial(name, "it has no bytes_list with a serialized LineId");
  } else if (name == kLabelColumn) {
    if (feature.kind != kFloatList) return;
    ForEachFixed(feature.payload(), 1, kFixed32, [&](const char* values, size_t n) {
      PutBytesField(example, kLabel, std::string_view(values, 4 * n));
    });
  } else {
    float weight = 1;
    bool found = false;
    if (feature.kind == kFloatList) {
      ForEachFixed(feature.payload(), 1, kFixed32, [&](const char* values, size_t n) {
        if (!found && n > 0) std::memcpy(&weight, values, 4);
        found = found || n > 0;
      });
    }
    PutFloatField(example, kWeight, weight);
  }
}

void PutNamed(std::string_view name, std::string_view feature, int32_t id, bool raw, std::string* example) {
  std::string named;
  PutBytesField(&named, kName, name);
  PutBytesField(&named, kNamedValue, feature);
  if (id != 0) PutVarintField(&named, kNamedId, static_cast<uint64_t>(static_cast<int64_t>(id)));
  PutBytesField(example, raw ? kNamedRawFeature : kNamedFeature, named);
}

void PutFeature(std::string_view name, uint32_t kind, std::string_view list, int32_t id, std::string* example) {
  std::string feature;
  PutBytesField(&feature, kind, list);
  PutNamed(name, feature, id, false, example);
}

// One named feature of an Instance.
void PutInstanceFeature(std::string_view bytes, int32_t id, std::string* example) {
  std::string_view name;
  std::string lists[std::size(kKinds)];
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    const uint32_t field = tag >> 3;
    if (tag == MakeTag(kName, kBytes)) {
      name = reader.Bytes();
    } else if (field >= 2 && field <= 9) {
      CopyFieldAs(&reader, tag, 1, &lists[field - 2]);
    } else {
      reader.Skip(tag);
    }
  }
  for (size_t i = 0; i < std::size(kKinds); ++i) {
    if (!lists[i].empty()) return PutFeature(name, kKinds[i].example_kind, lists[i], id, example);
  }
  PutNamed(name, {}, id, false, example);
}

void PutV1Slots(const std::map<uint32_t, std::string>& slots, int32_t* id, std::string* example) {
  for (const auto& [slot, fids] : slots) {
    std::string list;
    PutBytesField(&list, 1, fids);
    PutFeature("fc_slot_" + std::to_string(slot), kFidV1List, list, (*id)++, example);
  }
}

}  // namespace

void CheckBatchSize(int64_t batch_size, size_t bytes) {
  if (batch_size >= 0 && batch_size <= static_cast<int64_t>(bytes) + kMostSharedRows) return;
  throw DataError(DataError::Code::kInvalidArgument,
                  "the ExampleBatch has batch_size " + std::to_string(batch_size) + " in " + std::to_string(bytes) +
                      " bytes; it must be at least 0, and no more than there are rows.");
}

void SetDataSourceKey(MessageType type, uint32_t key, std::string* message) {
  // Instance and ExampleBatch have the same number for it.
  const uint32_t field = type == MessageType::kExample ? uint32_t{kExampleSource} : uint32_t{kInstanceSource};
  PutVarintField(message, field, key);
}

bool ChangesOnReading(std::string_view bytes, Pruning pruning) {
  if (pruning == Pruning::kFeatures) return true;
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(kNamedRawFeature, kBytes) && pruning == Pruning::kRawFeatures) return true;
    if (tag != MakeTag(kNamedFeature, kBytes)) {
      reader.Skip(tag);
      continue;
    }
    ProtoReader named(reader.Bytes());
    while (const uint32_t field = named.Tag()) {
      if (field != MakeTag(kName, kBytes)) {
        named.Skip(field);
      } else if (IsSpecial(named.Bytes())) {
        return true;
      }
    }
  }
  return false;
}

void ReadExample(std::string_view bytes, Pruning pruning, std::string* example) {
  std::string specials;
  Pieces pieces;
  example->clear();
  ProtoReader reader(bytes);
  while (true) {
    const char* begin = reader.at();
    const uint32_t tag = reader.Tag();
    if (tag == 0) break;
    bool keep = true;
    if (tag == MakeTag(kNamedFeature, kBytes)) {
      const std::string_view named = reader.Bytes();
      keep = pruning != Pruning::kFeatures;
      const NamedFeatureView column = ReadNamedFeature(named, &pieces);
      if (IsSpecial(column.name)) PutSpecialField(column.name, column.feature, &specials);
    } else {
      reader.Skip(tag);
      keep = tag != MakeTag(kNamedRawFeature, kBytes) || pruning != Pruning::kRawFeatures;
    }
    if (keep) example->append(begin, reader.at() - begin);
  }
  example->append(specials);
}

void InstanceToExample(std::string_view bytes, std::string* example) {
  std::string values;
  std::map<uint32_t, std::string> slots;  // packed fids by slot
  std::vector<std::string_view> features;
  float weight = 1;
  uint32_t source = 0;
  example->clear();
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    const uint32_t field = tag >> 3;
    if (field == kFid) {
      std::string one;
      CopyFieldAs(&reader, tag, 1, &one);
      ForEachFixed(one, 1, kFixed64, [&](const char* fids, size_t n) {
        for (size_t i = 0; i < n; ++i) {
          uint64_t fid;
          std::memcpy(&fid, fids + 8 * i, 8);
          slots[V1Slot(fid)].append(fids + 8 * i, 8);
        }
      });
    } else if (field == kValue) {
      CopyFieldAs(&reader, tag, 1, &values);
    } else if (field == kInstanceLabel) {
      CopyFieldAs(&reader, tag, kLabel, example);
    } else if (tag == MakeTag(kInstanceWeight, kFixed32)) {
      weight = reader.Fixed<float>();
    } else if (field == kInstanceLineId) {
      CopyFieldAs(&reader, tag, kLineId, example);
    } else if (tag == MakeTag(kFeature, kBytes)) {
      features.push_back(reader.Bytes());
    } else if (tag == MakeTag(kInstanceSource, kVarint)) {
      source = static_cast<uint32_t>(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
  int32_t id = 0;
  if (!values.empty()) PutFeature("value", kFloatList, values, id++, example);
  PutV1Slots(slots, &id, example);
  for (const std::string_view feature : features) PutInstanceFeature(feature, id++, example);
  PutFloatField(example, kWeight, weight);
  if (source != 0) SetDataSourceKey(MessageType::kExample, source, example);
}

void ExampleToInstance(std::string_view bytes, std::string* instance) {
  Pieces pieces;
  instance->clear();
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    const uint32_t field = tag >> 3;
    if (tag == MakeTag(kNamedFeature, kBytes)) {
      const NamedFeatureView named = ReadNamedFeature(reader.Bytes(), &pieces);
      ProtoReader list(named.feature.payload());
      const uint32_t kind = named.feature.kind;
      const bool is_v1 = kind == kFidV1List;
      std::string feature;
      if (!is_v1) PutBytesField(&feature, kName, named.name);
      while (const uint32_t list_tag = list.Tag()) {
        if (list_tag >> 3 == 1 && is_v1) {
          CopyFieldAs(&list, list_tag, kFid, instance);
        } else if (list_tag >> 3 == 1 && kInstanceField[kind] != 0) {
          CopyFieldAs(&list, list_tag, kInstanceField[kind], &feature);
        } else {
          list.Skip(list_tag);
        }
      }
      if (!is_v1) PutBytesField(instance, kFeature, feature);
    } else if (field == kLineId) {
      CopyFieldAs(&reader, tag, kInstanceLineId, instance);
    } else if (field == kLabel) {
      CopyFieldAs(&reader, tag, kInstanceLabel, instance);
    } else if (tag == MakeTag(kWeight, kFixed32)) {
      const float weight = reader.Fixed<float>();
      PutFloatField(instance, kInstanceWeight, weight == 0 ? 1 : weight);
    } else if (tag == MakeTag(kExampleSource, kVarint)) {
      PutVarintField(instance, kInstanceSource, static_cast<uint32_t>(reader.Varint()));
    } else {
      reader.Skip(tag);
    }
  }
}

BatchRows::BatchRows(std::string_view bytes, Pruning pruning) {
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(kColumns, kBytes) || tag == MakeTag(kRawColumns, kBytes)) {
      const bool raw = tag == MakeTag(kRawColumns, kBytes);
      const std::string_view column = reader.Bytes();
      if (!raw || pruning != Pruning::kRawFeatures) AddColumn(column, raw);
      if (!raw && pruning == Pruning::kFeatures && !IsSpecial(columns_.back().name)) columns_.pop_back();
    } else if (tag == MakeTag(kBatchSize, kVarint)) {
      num_rows_ = static_cast<int32_t>(reader.Varint());
    } else if (tag == MakeTag(kBatchSource, kVarint)) {
      data_source_key_ = static_cast<uint32_t>(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
  CheckBatchSize(num_rows_, bytes.size());
  for (const Column& column : columns_) CheckColumn(column);
}

void BatchRows::AddColumn(std::string_view bytes, bool raw) {
  Column column;
  column.raw = raw;
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(kName, kBytes)) {
      column.name = reader.Bytes();
    } else if (tag == MakeTag(kNamedValue, kBytes)) {
      column.features.push_back(reader.Bytes());
    } else if (tag == MakeTag(kListType, kVarint)) {
      column.shared = static_cast<uint32_t>(reader.Varint()) == kShared;
    } else if (tag == MakeTag(kListId, kVarint)) {
      column.id = static_cast<int32_t>(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
  PutBytesField(&column.head, kName, column.name);
  columns_.push_back(std::move(column));
}

void BatchRows::CheckColumn(const Column& column) const {
  const auto length = static_cast<int64_t>(column.features.size());
  if (column.shared ? length >= 1 : length == num_rows_) return;
  throw DataError(DataError::Code::kInvalidArgument,
                  "column '" + std::string(column.name) + "' of the ExampleBatch has " + std::to_string(length) +
                      " features for batch_size " + std::to_string(num_rows_) +
                      (column.shared ? "; a shared column needs one." : "; it needs one a row, or type SHARED."));
}

void BatchRows::Row(int64_t row, std::string* example) const {
  Pieces pieces;
  example->clear();
  for (const Column& column : columns_) {
    const std::string_view feature = column.features[column.shared ? 0 : row];
    if (!column.raw && IsSpecial(column.name)) {
      FeatureView view;
      view.Merge(feature, &pieces);
      PutSpecialField(column.name, view, example);
      continue;
    }
    const std::string_view head = column.head;
    const size_t id_size = column.id == 0 ? 0 : 1 + wire::VarintSize(static_cast<uint64_t>(int64_t{column.id}));
    wire::PutVarint(example, MakeTag(column.raw ? kNamedRawFeature : kNamedFeature, kBytes));
    wire::PutVarint(example, head.size() + 1 + wire::VarintSize(feature.size()) + feature.size() + id_size);
    example->append(head);
    PutBytesField(example, kNamedValue, feature);
    if (id_size > 0) PutVarintField(example, kNamedId, static_cast<uint64_t>(int64_t{column.id}));
  }
  if (data_source_key_ != 0) SetDataSourceKey(MessageType::kExample, data_source_key_, example);
}

}  // namespace data
}  // namespace monolith
