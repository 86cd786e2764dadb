// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/sliding_filter.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace monolith {
namespace {

void CheckThreshold(const std::string& whose, uint32_t threshold) {
  if (threshold > static_cast<uint32_t>(kMaxFilterCount)) {
    throw TableError("the occurrence threshold of " + whose + " is " + std::to_string(threshold) +
                     ", but the sliding filter counts to 15, so no fid would ever get an entry; use at most 15.");
  }
}

void CheckThresholds(const OccurrenceThresholdConfig& config) {
  CheckThreshold("slots that set none", config.default_threshold);
  for (const auto& [slot, threshold] : config.by_slot) CheckThreshold("slot " + std::to_string(slot), threshold);
}

int CheckedSplitNum(int64_t split_num) {
  if (split_num > SlidingFilter::kMostSplits) {
    throw TableError("an occurrence filter of " + std::to_string(split_num) + " splits: use at most 99999.");
  }
  return static_cast<int>(std::max<int64_t>(split_num, SlidingFilter::kLeastSplits));
}

}  // namespace

SlidingFilter::SlidingFilter(int64_t capacity, int64_t split_num, const OccurrenceThresholdConfig& thresholds)
    : thresholds_(thresholds) {
  CheckThresholds(thresholds);
  const int num_splits = CheckedSplitNum(split_num);
  const uint64_t split_capacity = std::max(capacity, kLeastCapacity) / (num_splits - 1);
  for (int i = 0; i < num_splits; ++i) {
    splits_.push_back(std::make_unique<Split>(std::max<uint64_t>(split_capacity, 1), kFillRate, kWindow));
  }
}

bool SlidingFilter::Admit(int64_t fid, int64_t occurrences) {
  const int threshold = static_cast<int>(thresholds_.Of(fid));
  return threshold == 0 || Add(fid, occurrences) >= threshold;
}

int SlidingFilter::Add(int64_t fid, int64_t count) {
  if (count <= 0) return Get(fid);
  uint32_t head;
  bool head_is_full = false;
  const int old = AddShared(Mix64(static_cast<uint64_t>(fid)), SaturatedCount(count), &head, &head_is_full);
  if (head_is_full) MoveHead(head);
  return old;
}

int SlidingFilter::AddShared(uint64_t hash, int count, uint32_t* head, bool* head_is_full) {
  const StripedLock::Shared shared(lock_);
  for (int step = 0; step < kForwardSteps; ++step) {
    Split& split = Ahead(step);
    for (Split::Place place = split.Find(hash); place.found(); place = split.Find(hash)) {
      if (!place.empty()) return split.AddAt(place, count);
      const int old = CountBehind(hash);
      if (!split.Claim(place, hash, old + count)) continue;  // another thread took the cell; see what it holds now
      *head = head_;
      *head_is_full = HeadIsFull();
      return old;
    }
  }
  failure_count_.fetch_add(1, std::memory_order_relaxed);
  return kMaxFilterCount;
}

int SlidingFilter::CountBehind(uint64_t hash) const {
  const uint32_t num_splits = static_cast<uint32_t>(splits_.size());
  const uint32_t steps = std::min(head_increment_, num_splits - kForwardSteps);
  for (uint32_t step = 1; step <= steps; ++step) {
    const Split::Place place = Ahead(num_splits - step).Find(hash);
    if (place.found() && !place.empty()) return place.count();
  }
  return 0;
}

void SlidingFilter::MoveHead(uint32_t from) {
  const StripedLock::Alone alone(lock_);
  if (head_ != from || !HeadIsFull()) return;  // another thread has moved it
  Ahead(2).Clear();                            // may throw, so before anything changes
  head_ = (head_ + 1) % static_cast<uint32_t>(splits_.size());
  if (head_increment_ < std::numeric_limits<uint32_t>::max()) ++head_increment_;
}

int SlidingFilter::Get(int64_t fid) const {
  const uint64_t hash = Mix64(static_cast<uint64_t>(fid));
  const StripedLock::Shared shared(lock_);
  for (int step = 0; step < kForwardSteps; ++step) {
    const Split::Place place = Ahead(step).Find(hash);
    if (place.found()) return place.empty() ? CountBehind(hash) : place.count();
  }
  return kMaxFilterCount;
}

FilterSplitMeta::Filter SlidingFilter::FilterMeta() const {
  FilterSplitMeta::Filter meta;
  meta.split_num = static_cast<uint32_t>(splits_.size());
  meta.max_forward_step = kForwardSteps;
  meta.max_backward_step = meta.split_num - kForwardSteps;
  meta.max_step = kWindow;
  meta.head = head_;
  meta.head_increment = head_increment_;
  meta.failure_count = failure_count_.load(std::memory_order_relaxed);
  return meta;
}

FilterSplitMeta SlidingFilter::Locked::Meta(int i) const {
  FilterSplitMeta meta;
  meta.failure_count = split(i).failure_count();
  meta.total_size = split(i).total_size();
  meta.num_elements = split(i).num_elements();
  meta.fill_rate = split(i).fill_rate();
  meta.filter = filter_.FilterMeta();
  return meta;
}

void SlidingFilter::CheckShape(const FilterSplitMeta::Filter& saved) const {
  const auto check = [](const char* what, uint32_t in_file, uint32_t here) {
    if (in_file == here) return;
    throw FilterMismatch(std::string("the saved occurrence filter has ") + what + " " + std::to_string(in_file) +
                         ", this one has " + std::to_string(here) + "; restore it into a filter of the same shape.");
  };
  const FilterSplitMeta::Filter here = FilterMeta();
  check("split_num", saved.split_num, here.split_num);
  check("max_forward_step", saved.max_forward_step, here.max_forward_step);
  check("max_backward_step", saved.max_backward_step, here.max_backward_step);
  check("max_step", saved.max_step, here.max_step);
}

std::unique_ptr<SlidingFilter::Restored> SlidingFilter::StartRestore(const std::vector<FilterSplitMeta>& metas) const {
  for (const FilterSplitMeta& meta : metas) {
    const StripedLock::Shared shared(lock_);
    CheckShape(meta.filter);
  }
  if (metas.size() != splits_.size()) {
    throw TableError("a saved occurrence filter of " + std::to_string(splits_.size()) + " splits comes in " +
                     std::to_string(metas.size()) + " files; restore from another checkpoint.");
  }
  auto restored = std::make_unique<Restored>();
  restored->meta_ = metas[0].filter;
  for (const FilterSplitMeta& meta : metas) {
    if (meta.filter.head != restored->meta_.head || meta.filter.head_increment != restored->meta_.head_increment ||
        meta.filter.head >= meta.filter.split_num || meta.total_size == 0) {
      throw TableError("the splits of a saved occurrence filter do not belong together; restore another checkpoint.");
    }
    // The capacity, at which the head moves on, stays this filter's own; the cells lie as the file has them.
    restored->splits_.push_back(
        std::make_unique<Split>(splits_[0]->capacity(), meta.fill_rate, kWindow, meta.total_size));
    restored->splits_.back()->SetElements(meta.num_elements, meta.failure_count);
  }
  return restored;
}

void SlidingFilter::FinishRestore(std::unique_ptr<Restored> restored) {
  const StripedLock::Alone alone(lock_);
  splits_.swap(restored->splits_);
  head_ = restored->meta_.head;
  head_increment_ = restored->meta_.head_increment;
  failure_count_.store(restored->meta_.failure_count, std::memory_order_relaxed);
}

}  // namespace monolith
