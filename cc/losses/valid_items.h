// SPDX-License-Identifier: Apache-2.0
// Lists of scored items as ranking losses take them, and one list without its invalid items.
#ifndef CC_LOSSES_VALID_ITEMS_H_
#define CC_LOSSES_VALID_ITEMS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cc/hash_table/simd_step.h"

namespace monolith::losses {

// Items are padded to a multiple of so many. Loops over them go item by item and add up nothing from one item to the next,
// or add up so many sums side by side, so that the compiler vectorises them, with the same bits for every width of
// vectors.
constexpr int64_t kItemLanes = 8;

// The sum of sums side by side.
template <typename T>
MONOLITH_INLINE T SumOfLanes(const T* lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}
static_assert(kItemLanes == 8, "SumOfLanes adds eight");

// Labels and logits are [num_lists, list_size]. An item whose label is not >= 0 is invalid. Strides step through
// weights, and are 0 along an axis that shares them. The last list may end early, with the last item.
template <typename T>
struct Lists {
  const T* labels;
  const T* logits;
  const T* weights;
  int64_t list_stride, item_stride;
  int64_t num_lists, list_size;
  int64_t num_items;  // of all lists
};

// What the losses of lists add up to, before it is reduced to one number.
struct Totals {
  double loss = 0;  // each times its weight
  double weight = 0;
  int64_t nonzero = 0;   // how many weights are not 0
  int64_t elements = 0;  // how many losses there are

  MONOLITH_INLINE void Add(double a_loss, double a_weight) {
    loss += a_loss * a_weight;
    weight += a_weight;
    nonzero += a_weight != 0;
    ++elements;
  }
  void Add(const Totals& other) {
    loss += other.loss;
    weight += other.weight;
    nonzero += other.nonzero;
    elements += other.elements;
  }
};

// The valid items of one list at a time, in buffers that serve all lists. Invalid items never get here, so that nothing
// that stands in their logits reaches a result.
template <typename T>
class ValidItems {
 public:
  explicit ValidItems(int64_t list_size)
      : list_size_(list_size),
        label(list_size + kItemLanes),
        logit(list_size + kItemLanes),
        weight(list_size + kItemLanes),
        gradient(list_size + kItemLanes),
        costs(list_size + kItemLanes),
        weights(list_size + kItemLanes),
        counts(list_size + kItemLanes),
        place(list_size + kItemLanes) {}

  int64_t list_size() const { return list_size_; }  // with the invalid ones
  int64_t size() const { return size_; }
  int64_t padded_size() const { return (size_ + kItemLanes - 1) / kItemLanes * kItemLanes; }
  T list_weight() const { return list_weight_; }  // that of the first item, for losses that weigh lists

  MONOLITH_INLINE void Read(const Lists<T>& lists, int64_t list) {
    const int64_t begin = list * lists.list_size;
    const T *labels = lists.labels + begin, *logits = lists.logits + begin;
    const T* weights = lists.weights + list * lists.list_stride;
    list_size_ = std::min(lists.list_size, lists.num_items - begin);
    list_weight_ = list_size_ > 0 ? weights[0] : T{0};
    size_ = 0;
    for (int64_t i = 0; i < list_size_; ++i) size_ += labels[i] >= 0;
    if (size_ < list_size_) return Pick(labels, logits, weights, lists.item_stride);
    std::copy_n(labels, size_, label.begin());
    std::copy_n(logits, size_, logit.begin());
    for (int64_t i = 0; i < size_; ++i) place[i] = i;
    if (lists.item_stride == 0) {
      std::fill_n(weight.begin(), size_, list_weight_);
    } else {
      std::copy_n(weights, size_, weight.begin());
    }
  }

  // Fills up to padded_size().
  MONOLITH_INLINE void Pad(T a_label, T a_logit, T a_weight) {
    for (int64_t i = size_; i < padded_size(); ++i) {
      label[i] = a_label;
      logit[i] = a_logit;
      weight[i] = a_weight;
    }
  }

  void ClearSums() {
    for (std::vector<T>* sums : {&costs, &weights, &counts}) std::fill(sums->begin(), sums->end(), T{0});
  }

  // The sums of costs, weights and counts go to the totals.
  void AddSumsTo(Totals* totals) const {
    for (size_t i = 0; i < costs.size(); ++i) {
      totals->loss += costs[i];
      totals->weight += weights[i];
      totals->nonzero += static_cast<int64_t>(counts[i]);
    }
  }

  MONOLITH_INLINE void ClearGradient() { std::fill_n(gradient.begin(), padded_size(), T{0}); }

  // Writes the gradient of the list's items, 0 for invalid ones; `output` is [list_size].
  MONOLITH_INLINE void WriteGradient(T scale, T* output) const {
    if (size_ == list_size_) {
      for (int64_t i = 0; i < size_; ++i) output[i] = scale * gradient[i];
      return;
    }
    std::fill_n(output, list_size_, T{0});
    for (int64_t i = 0; i < size_; ++i) output[place[i]] = scale * gradient[i];
  }

 private:
  void Pick(const T* labels, const T* logits, const T* weights, int64_t item_stride) {
    size_ = 0;
    for (int64_t i = 0; i < list_size_; ++i) {
      label[size_] = labels[i];
      logit[size_] = logits[i];
      weight[size_] = weights[i * item_stride];
      place[size_] = i;
      size_ += labels[i] >= 0;
    }
  }

  int64_t list_size_;
  int64_t size_ = 0;
  T list_weight_ = 0;

 public:
  std::vector<T> label, logit, weight, gradient;
  // Sums by the number of an item: of losses times weights, of weights, and of how many weights are not 0.
  std::vector<T> costs, weights, counts;
  std::vector<int64_t> place;  // in the list
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_VALID_ITEMS_H_
