// SPDX-License-Identifier: Apache-2.0
#include "tests/cc/fuzz/map_table.h"

#include <algorithm>
#include <limits>

namespace monolith {
namespace testing {
namespace {

uint32_t Stamp(int64_t seconds) {
  return static_cast<uint32_t>(std::max<int64_t>(0, std::min<int64_t>(seconds, 0xFFFFFFFF)));
}

bool IsZero(const std::vector<float>& row) {
  float sum = 0;
  for (const float x : row) sum += x * x;
  return sum < std::numeric_limits<float>::min();
}

}  // namespace

MapTable::MapTable(const TableKind& kind) : kind_(kind) {
  if (!kind.trains()) return;
  for (const SliceConfig& slice : kind.config.slices) optimizers_.push_back(NewOptimizer(slice.optimizer, slice.dim));
}

std::vector<float> MapTable::Lookup(int64_t fid) const {
  const auto it = entries_.find(fid);
  return it == entries_.end() ? std::vector<float>(kKindDim) : kind_.Read(it->second.kept);
}

MapTable::Entry MapTable::Fresh() const {
  Entry entry;
  for (const SliceConfig& slice : kind_.config.slices) {
    entry.kept.insert(entry.kept.end(), slice.dim, kind_.trains() ? slice.initializer.constant : 0);
  }
  for (const auto& optimizer : optimizers_) {
    entry.states.emplace_back(optimizer->state_bytes() / 4);
    optimizer->InitState(entry.states.back().data());
  }
  return entry;
}

MapTable::Entry* MapTable::ToWrite(int64_t fid, int64_t update_ts, bool admitted) {
  auto it = entries_.find(fid);
  if (it == entries_.end()) {
    if (!admitted) return nullptr;
    it = entries_.emplace(fid, Fresh()).first;
  }
  it->second.update_ts = Stamp(update_ts);
  return &it->second;
}

void MapTable::RaiseMaxUpdateTs(int64_t update_ts) { max_update_ts_ = std::max(max_update_ts_, update_ts); }

void MapTable::Assign(int64_t fid, const std::vector<float>& row, int64_t update_ts, bool admitted) {
  RaiseMaxUpdateTs(update_ts);
  if (kind_.config.skip_zero_embedding && IsZero(row)) {
    entries_.erase(fid);
    return;
  }
  if (Entry* entry = ToWrite(fid, update_ts, admitted)) entry->kept = kind_.Stored(row);
}

void MapTable::AssignAdd(int64_t fid, const std::vector<float>& row, int64_t update_ts, bool admitted) {
  RaiseMaxUpdateTs(update_ts);
  Entry* entry = ToWrite(fid, update_ts, admitted);
  if (entry == nullptr) return;
  for (int d = 0; d < kKindDim; ++d) entry->kept[d] += row[d];
  entry->kept = kind_.Stored(entry->kept);
}

void MapTable::Optimize(int64_t fid, const std::vector<float>& gradient, const std::vector<float>& rates,
                        int64_t update_ts, int64_t global_step, bool admitted) {
  RaiseMaxUpdateTs(update_ts);
  Entry* entry = ToWrite(fid, update_ts, admitted);
  if (entry == nullptr) return;
  for (size_t i = 0, at = 0; i < optimizers_.size(); at += kind_.config.slices[i++].dim) {
    const std::vector<float> own = kind_.PassedBack(entry->kept, gradient);
    optimizers_[i]->Step(&entry->kept[at], entry->states[i].data(), &own[at], {rates[i], global_step});
  }
}

bool MapTable::Reinitialize(int64_t fid, int64_t now) {
  const bool found = entries_.erase(fid) > 0;
  ToWrite(fid, now, true);
  return found;
}

bool MapTable::IsExpired(int64_t fid, const Entry& entry, const ExpireConfig& expire) const {
  const auto slot = static_cast<uint32_t>(static_cast<uint64_t>(fid) << 1 >> 49);
  const auto own = expire.days_by_slot.find(slot);
  const int64_t days = own == expire.days_by_slot.end() ? expire.default_days : own->second;
  return max_update_ts_ >= entry.update_ts + days * 24 * 60 * 60;
}

uint64_t MapTable::Evict(const ExpireConfig& expire) {
  const size_t before = entries_.size();
  entries_ = Saved(expire);
  return before - entries_.size();
}

MapTable::Entries MapTable::Saved(const ExpireConfig& expire) const {
  Entries saved;
  for (const auto& [fid, entry] : entries_) {
    if (!IsExpired(fid, entry, expire)) saved.emplace(fid, entry);
  }
  return saved;
}

void MapTable::Restore(const Entries& saved, uint64_t shard, uint64_t num_shards) {
  entries_.clear();
  for (const auto& [fid, entry] : saved) {
    if (static_cast<uint64_t>(fid) % num_shards != shard) continue;
    if (kind_.config.skip_zero_embedding && IsZero(entry.kept)) continue;
    Entry& restored = entries_[fid] = entry;
    if (!kind_.trains()) restored.kept = kind_.Stored(restored.kept);
    RaiseMaxUpdateTs(entry.update_ts);
  }
}

}  // namespace testing
}  // namespace monolith
