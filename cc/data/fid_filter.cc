// SPDX-License-Identifier: Apache-2.0
#include "cc/data/fid_filter.h"

#include <cstring>
#include <string>
#include <unordered_map>

#include "cc/data/comparison.h"
#include "cc/data/config_text.h"
#include "cc/data/example_columns.h"
#include "cc/data/fid.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

// Which of several wanted things a record has shown.
class Wanted {
 public:
  explicit Wanted(size_t n) : seen_(n, false), missing_(n) {}
  void See(size_t i) {
    missing_ -= seen_[i] ? 0 : 1;
    seen_[i] = true;
  }
  bool AllSeen() const { return missing_ == 0; }

 private:
  std::vector<bool> seen_;
  size_t missing_;
};

// Calls visit(fid, version, is_flat) for all fids of a record; is_flat says whether it is one of an Instance's field `fid`.
template <typename Visit>
void ForEachFid(MessageType type, std::string_view record, Visit visit) {
  const auto run = [&](int version, bool flat) {
    return [&visit, version, flat](const char* values, size_t n) {
      for (size_t i = 0; i < n; ++i) {
        uint64_t fid;
        std::memcpy(&fid, values + 8 * i, 8);
        visit(fid, version, flat);
      }
    };
  };
  if (type == MessageType::kInstance) {
    ForEachFixed(record, 1, kFixed64, run(1, true));
    ForEachBytes(record, 9, [&](std::string_view feature) {
      ForEachFixed(feature, 2, kFixed64, run(2, false));
      ForEachBytes(feature, 6, [&](std::string_view list) { ForEachFixed(list, 1, kFixed64, run(2, false)); });
    });
    return;
  }
  Pieces pieces;
  ForEachBytes(record, 1, [&](std::string_view named) {
    const FeatureView feature = ReadNamedFeature(named, &pieces).feature;
    if (feature.kind != kFidV1List && feature.kind != kFidV2List) return;
    ForEachFixed(feature.payload(), 1, kFixed64, run(feature.kind == kFidV1List ? 1 : 2, false));
  });
}

class FidFilter : public RecordFilter {
 public:
  FidFilter(MessageType type, const FidFilterConfig& config);
  bool Keep(std::string_view record, UniformSource* uniform) const override;

 private:
  // What a fid is asked for.
  struct Role {
    bool filter = false, has = false;
    int select = -1;
  };

  bool KeepFids(std::string_view record) const;

  const MessageType type_;
  std::unordered_map<uint64_t, Role> fids_;
  std::unordered_map<uint32_t, size_t> slots_;
  size_t num_select_ = 0;
  const bool needs_one_;
  std::unique_ptr<ValueTest> actions_;
  const int64_t req_time_min_;
};

FidFilter::FidFilter(MessageType type, const FidFilterConfig& config)
    : type_(type), needs_one_(!config.has_fids.empty()), req_time_min_(config.req_time_min) {
  CheckHasHead(type);
  for (const uint64_t fid : config.filter_fids) fids_[fid].filter = true;
  for (const uint64_t fid : config.has_fids) fids_[fid].has = true;
  for (const uint64_t fid : config.select_fids) {
    Role& role = fids_[fid];
    if (role.select < 0) role.select = static_cast<int>(num_select_++);
  }
  for (const int64_t slot : config.select_slots) {
    if (slot < 0 || slot >= int64_t{1} << kV2SlotBits) {
      ThrowBadSetting("select_slots has " + std::to_string(slot) + "; slots are in [0, 32768).");
    }
    slots_.try_emplace(static_cast<uint32_t>(slot), slots_.size());
  }
  if (config.has_actions.empty()) return;
  Operands operands;
  operands.ints = config.has_actions;
  actions_ = std::make_unique<ValueTest>("field 'actions'", "any", ValueKind::kInt, true, operands);
}

bool FidFilter::Keep(std::string_view record, UniformSource*) const {
  if (actions_ != nullptr || req_time_min_ != 0) {
    const RecordHead head(type_, record);
    if (req_time_min_ != 0 && head.Ints("req_time")[0] < req_time_min_) return false;
    if (actions_ != nullptr) {
      const std::vector<int64_t> actions = head.Ints("actions");
      if (actions.empty() || !actions_->OfList(actions)) return false;
    }
  }
  return (fids_.empty() && slots_.empty()) || KeepFids(record);
}

bool FidFilter::KeepFids(std::string_view record) const {
  Wanted fids(num_select_), slots(slots_.size());
  bool filtered = false, has_one = false;
  ForEachFid(type_, record, [&](uint64_t fid, int version, bool flat) {
    const auto role = fids_.find(fid);
    if (role != fids_.end() && (flat || type_ == MessageType::kExample)) {
      filtered = filtered || role->second.filter;
      has_one = has_one || role->second.has;
      if (role->second.select >= 0) fids.See(role->second.select);
    }
    const auto slot = slots_.find(version == 1 ? V1Slot(fid) : V2Slot(fid));
    if (slot != slots_.end()) slots.See(slot->second);
  });
  return !filtered && (has_one || !needs_one_) && fids.AllSeen() && slots.AllSeen();
}

}  // namespace

std::unique_ptr<RecordFilter> NewFidFilter(MessageType type, const FidFilterConfig& config) {
  return std::make_unique<FidFilter>(type, config);
}

}  // namespace data
}  // namespace monolith
