// SPDX-License-Identifier: Apache-2.0
#include "cc/data/record_sides.h"

#include <cstring>

#include "cc/data/config_text.h"
#include "cc/data/example_columns.h"
#include "cc/data/fid.h"
#include "cc/data/proto_writer.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

constexpr uint32_t kFid = 1, kColumn = 1;  // of an Instance, of an Example

template <typename Visit>
void ForEachFidIn(std::string_view message, Visit visit) {
  ForEachFixed(message, 1, kFixed64, [&](const char* values, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      uint64_t fid;
      std::memcpy(&fid, values + 8 * i, 8);
      visit(fid);
    }
  });
}

void PutFids(const std::vector<uint64_t>& fids, std::string* instance) {
  if (fids.empty()) return;
  PutBytesField(instance, kFid, std::string_view(reinterpret_cast<const char*>(fids.data()), 8 * fids.size()));
}

}  // namespace

RecordSides::RecordSides(MessageType type, const std::vector<std::string>& item_features) : type_(type) {
  CheckHasHead(type);
  for (const std::string& feature : item_features) {
    if (type == MessageType::kInstance) {
      slots_.insert(Slot(feature));
    } else {
      columns_.insert(feature);
    }
  }
}

uint32_t RecordSides::Slot(const std::string& feature) {
  const ConfigText text("a feature of an Instance", feature);
  const int64_t slot = text.Int(feature);
  if (slot < 0 || slot >= int64_t{1} << kV1SlotBits) text.Throw("its slots are in [0, 1024)");
  return static_cast<uint32_t>(slot);
}

ItemFeatures RecordSides::Item(std::string_view record) const {
  ItemFeatures item;
  if (type_ == MessageType::kInstance) {
    ForEachFidIn(record, [&](uint64_t fid) {
      if (slots_.count(V1Slot(fid)) > 0) item.fids.push_back(fid);
    });
    return item;
  }
  Pieces pieces;
  ForEachBytes(record, kColumn, [&](std::string_view named) {
    if (columns_.count(std::string(ReadNamedFeature(named, &pieces).name)) > 0) item.columns.emplace_back(named);
  });
  return item;
}

std::string RecordSides::WithItem(std::string_view record, const ItemFeatures& item) const {
  std::string made;
  Pieces pieces;
  if (type_ == MessageType::kExample) {
    ForEachBytes(record, kColumn, [&](std::string_view named) {
      const std::string name(ReadNamedFeature(named, &pieces).name);
      if (columns_.count(name) == 0) PutBytesField(&made, kColumn, named);
    });
    for (const std::string& column : item.columns) PutBytesField(&made, kColumn, column);
    return made;
  }
  std::vector<uint64_t> fids;
  ForEachFidIn(record, [&](uint64_t fid) {
    if (slots_.count(V1Slot(fid)) == 0) fids.push_back(fid);
  });
  fids.insert(fids.end(), item.fids.begin(), item.fids.end());
  PutFids(fids, &made);
  ProtoReader reader(record);
  while (true) {
    const char* begin = reader.at();
    const uint32_t tag = reader.Tag();
    if (tag == 0) break;
    reader.Skip(tag);
    const bool is_fid = tag == MakeTag(kFid, kBytes) || tag == MakeTag(kFid, kFixed64);
    const uint32_t field = tag >> 3;
    const bool is_head = field == LabelField(type_) || field == LineIdNumber(type_) || field == WeightField(type_);
    if (!is_fid && !is_head) made.append(begin, reader.at() - begin);
  }
  return made;
}

std::optional<uint64_t> RecordSides::FirstFid(std::string_view record, const std::string& feature) const {
  std::optional<uint64_t> first;
  const auto take = [&](uint64_t fid) {
    if (!first) first = fid;
  };
  if (type_ == MessageType::kInstance) {
    const uint32_t slot = Slot(feature);
    ForEachFidIn(record, [&](uint64_t fid) {
      if (V1Slot(fid) == slot) take(fid);
    });
    return first;
  }
  Pieces pieces;
  const FeatureView column = FindColumn(record, feature, &pieces);
  if (column.kind == kFidV1List || column.kind == kFidV2List) ForEachFidIn(column.payload(), take);
  return first;
}

}  // namespace data
}  // namespace monolith
