// SPDX-License-Identifier: Apache-2.0
// The occurrence filter: counts fids over a window of the recent past.
//
// A ring of splits, each a CellFilter. New fids go to the split at `head`, or to the one after it where the first has no
// place. When the head split is full, the head moves on by one, and the split after the new head is cleared: the oldest
// counts are forgotten. A fid that is seen again after the head has moved takes its count along: the splits behind the
// head are searched, and old count and new sightings are stored at the head.
//
// Threads: an addition shares the lock, so while it runs the head stays and the splits behind it do not change; at the
// head, additions meet in cells, by compare-and-swap. Moving the head, saving and restoring hold the lock alone.
#ifndef CC_HASH_TABLE_SLIDING_FILTER_H_
#define CC_HASH_TABLE_SLIDING_FILTER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "cc/hash_table/cell_filter.h"
#include "cc/hash_table/embedding_table.h"
#include "cc/hash_table/occurrence_thresholds.h"
#include "cc/hash_table/striped_lock.h"

namespace monolith {

// A saved filter has another shape than the running one; the message names both numbers.
class FilterMismatch : public TableError {
 public:
  using TableError::TableError;
};

// What is saved of one split beside its cells. `filter` is the same for all splits of a filter.
struct FilterSplitMeta {
  struct Filter {
    uint32_t split_num = 0;
    uint32_t max_forward_step = 0;
    uint32_t max_backward_step = 0;
    uint32_t max_step = 0;
    uint32_t head = 0;
    uint32_t head_increment = 0;
    uint64_t failure_count = 0;
  };
  uint64_t failure_count = 0;
  uint64_t total_size = 0;
  uint64_t num_elements = 0;
  double fill_rate = 0;
  Filter filter;
};

class SlidingFilter : public AdmissionFilter {
 public:
  using Split = CellFilter<uint16_t>;
  static constexpr int64_t kLeastCapacity = 300;
  static constexpr int kLeastSplits = 5;
  static constexpr int kMostSplits = 99999;  // files are numbered by five digits
  static constexpr int kForwardSteps = 2;
  static constexpr int kWindow = 16;
  static constexpr double kFillRate = 1.2;

  // Remembers about `capacity` fids (at least 300) in `split_num` splits (at least 5). Throws TableError for a threshold
  // above 15, which no count reaches, for a slot that no fid has, and for sizes that cannot be saved.
  SlidingFilter(int64_t capacity, int64_t split_num, const OccurrenceThresholdConfig& thresholds);

  // A fid is admitted once it was seen as often as its slot's threshold says; with threshold 0 it is, uncounted.
  bool Admit(int64_t fid, int64_t occurrences) override;

  // Counts `count` (at most 15) more sightings and returns how many there were; 15 if there was no room to tell.
  int Add(int64_t fid, int64_t count);
  int Get(int64_t fid) const;

  int split_num() const { return static_cast<int>(splits_.size()); }

  // The filter at one instant: nobody counts while one of these lives. Several threads may read it.
  class Locked {
   public:
    explicit Locked(const SlidingFilter& filter) : filter_(filter), alone_(filter.lock_) {}
    FilterSplitMeta Meta(int split) const;
    const Split& split(int i) const { return *filter_.splits_[i]; }

   private:
    const SlidingFilter& filter_;
    StripedLock::Alone alone_;
  };

  // Splits read back from files, gathered beside the filter until all have arrived. Threads may fill different splits.
  class Restored {
   public:
    Split* split(int i) { return splits_[i].get(); }

   private:
    friend class SlidingFilter;
    FilterSplitMeta::Filter meta_;
    std::vector<std::unique_ptr<Split>> splits_;
  };

  // Makes room for splits with these descriptions, in order. Throws FilterMismatch where their shape is not the
  // filter's, TableError where they contradict each other or themselves.
  std::unique_ptr<Restored> StartRestore(const std::vector<FilterSplitMeta>& metas) const;
  void FinishRestore(std::unique_ptr<Restored> restored);

 private:
  // Requires for all of these: the lock is held, shared or alone.
  Split& Ahead(uint32_t steps) const { return *splits_[(head_ + steps) % splits_.size()]; }
  FilterSplitMeta::Filter FilterMeta() const;
  int CountBehind(uint64_t hash) const;
  bool HeadIsFull() const { return Ahead(0).num_elements() + 1 >= Ahead(0).capacity(); }

  // Adds with the lock shared. Sets `head_is_full` if the head should move on from `head`.
  int AddShared(uint64_t hash, int count, uint32_t* head, bool* head_is_full);
  void MoveHead(uint32_t from);
  void CheckShape(const FilterSplitMeta::Filter& saved) const;

  const OccurrenceThresholds thresholds_;
  StripedLock lock_;
  std::vector<std::unique_ptr<Split>> splits_;
  uint32_t head_ = 0;            // written by who holds the lock alone
  uint32_t head_increment_ = 0;  // likewise: how often the head has moved
  std::atomic<uint64_t> failure_count_{0};
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_SLIDING_FILTER_H_
