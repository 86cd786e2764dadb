// SPDX-License-Identifier: Apache-2.0
#include "cc/data/switch_slots.h"

#include <cstring>
#include <unordered_map>

#include "cc/data/config_text.h"
#include "cc/data/feature_view.h"
#include "cc/data/fid.h"
#include "cc/data/proto_writer.h"

namespace monolith {
namespace data {
namespace {

enum Column { kColumn = 1, kName = 1, kFeature = 2 };  // field numbers of records, and of columns

struct NewSlot {
  bool inplace;
  uint32_t slot;
  std::string new_name;
};

// The Feature with fids of the slot.
std::string Switched(std::string_view column, std::string_view feature, uint32_t slot) {
  Pieces pieces;
  FeatureView view;
  view.Merge(feature, &pieces);
  if (view.kind == kNoKind) return std::string();
  if (view.kind != kFidV1List && view.kind != kFidV2List) {
    ThrowBadSetting("column '" + std::string(column) + "' has a " + NameOf(static_cast<FeatureKind>(view.kind)) +
                    "; a slot is a part of fids in a fid_v1_list or a fid_v2_list.");
  }
  const bool was_v1 = view.kind == kFidV1List, is_v1 = was_v1 && slot < 1u << kV1SlotBits;
  std::string fids;
  ForEachFixed(view.payload(), 1, kFixed64, [&](const char* values, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      uint64_t fid;
      std::memcpy(&fid, values + 8 * i, 8);
      fid = is_v1 ? MakeFid(1, slot, V1Signature(fid)) : MakeFid(2, slot, V2Signature(fid));
      fids.append(reinterpret_cast<const char*>(&fid), 8);
    }
  });
  std::string list, switched;
  PutBytesField(&list, 1, fids);
  PutBytesField(&switched, is_v1 ? kFidV1List : kFidV2List, list);
  return switched;
}

// The features of an ExampleBatch's column are separate; pieces of an Example's are one.
class SwitchSlots : public RecordChange {
 public:
  SwitchSlots(MessageType type, const std::vector<SlotSwitch>& switches, const std::string& suffix) : type_(type) {
    if (type != MessageType::kExample && type != MessageType::kExampleBatch) {
      ThrowBadSetting(std::string("variant_type is ") + data::NameOf(type) + "; use example or example_batch.");
    }
    if (switches.empty()) ThrowBadSetting("features is empty; name at least one column.");
    for (const SlotSwitch& one : switches) {
      MakeFid(2, one.slot, 0);  // throws for a slot that there cannot be
      const NewSlot slot{one.inplace, static_cast<uint32_t>(one.slot), one.column + "_" + suffix};
      if (!slots_.try_emplace(one.column, slot).second) {
        ThrowBadSetting("features has column '" + one.column + "' twice; give it one slot.");
      }
    }
  }

  bool Apply(std::string_view record, UniformSource*, std::string* changed) const override {
    std::string out;
    bool any = false;
    ProtoReader reader(record);
    while (true) {
      const char* begin = reader.at();
      const uint32_t tag = reader.Tag();
      if (tag == 0) break;
      const NewSlot* slot = nullptr;
      std::string_view column;
      if (tag == MakeTag(kColumn, kBytes)) {
        column = reader.Bytes();
        slot = Find(column);
      } else {
        reader.Skip(tag);
      }
      if (slot == nullptr || !slot->inplace) out.append(begin, reader.at() - begin);
      if (slot != nullptr) PutBytesField(&out, kColumn, NewColumn(column, *slot));
      any = any || slot != nullptr;
    }
    if (any) *changed = std::move(out);
    return any;
  }

 private:
  static std::string_view NameOfColumn(std::string_view column) {
    std::string_view name;
    ForEachBytes(column, kName, [&](std::string_view text) { name = text; });
    return name;
  }

  const NewSlot* Find(std::string_view column) const {
    const auto it = slots_.find(std::string(NameOfColumn(column)));
    return it == slots_.end() ? nullptr : &it->second;
  }

  std::string NewColumn(std::string_view column, const NewSlot& slot) const {
    const std::string_view name = NameOfColumn(column);
    std::string made, feature;
    PutBytesField(&made, kName, slot.inplace ? name : std::string_view(slot.new_name));
    ProtoReader reader(column);
    while (true) {
      const char* begin = reader.at();
      const uint32_t tag = reader.Tag();
      if (tag == 0) break;
      if (tag != MakeTag(kFeature, kBytes)) {
        reader.Skip(tag);
        if (tag != MakeTag(kName, kBytes)) made.append(begin, reader.at() - begin);
      } else if (type_ == MessageType::kExampleBatch) {
        PutBytesField(&made, kFeature, Switched(name, reader.Bytes(), slot.slot));
      } else {
        feature.append(reader.Bytes());
      }
    }
    if (type_ == MessageType::kExample) PutBytesField(&made, kFeature, Switched(name, feature, slot.slot));
    return made;
  }

  const MessageType type_;
  std::unordered_map<std::string, NewSlot> slots_;
};

}  // namespace

std::unique_ptr<RecordChange> NewSwitchSlots(MessageType type, const std::vector<SlotSwitch>& switches,
                                             const std::string& suffix) {
  return std::make_unique<SwitchSlots>(type, switches, suffix);
}

}  // namespace data
}  // namespace monolith
