// SPDX-License-Identifier: Apache-2.0
// Losses of every item by itself.
#ifndef CC_LOSSES_ITEM_LOSSES_H_
#define CC_LOSSES_ITEM_LOSSES_H_

#include <algorithm>
#include <vector>

#include "cc/losses/pair_math.h"
#include "cc/losses/valid_items.h"

namespace monolith::losses {

// What an item costs, and the derivative by its logit.
struct SigmoidCrossEntropy {
  template <typename T>
  static MONOLITH_INLINE T Cost(T label, T logit) {
    return Softplus(logit) - label * logit;
  }
  template <typename T>
  static MONOLITH_INLINE T Slope(T label, T logit) {
    return Sigmoid(logit) - label;
  }
};

struct SquaredError {
  template <typename T>
  static MONOLITH_INLINE T Cost(T label, T logit) {
    return (logit - label) * (logit - label);
  }
  template <typename T>
  static MONOLITH_INLINE T Slope(T label, T logit) {
    return 2 * (logit - label);
  }
};

// Reads lists as they are, without a copy of their valid items: there is little else to do.
template <typename Cost, typename T>
class ItemLoss {
 public:
  explicit ItemLoss(const Lists<T>& lists)
      : costs_(lists.list_size), weights_(lists.item_stride == 0 ? 0 : lists.list_size), counts_(weights_.size()) {}

  MONOLITH_INLINE void AddTo(const Lists<T>& lists, int64_t list, Totals* totals) {
    const int64_t begin = list * lists.list_size, size = std::min(lists.list_size, lists.num_items - begin);
    const T* __restrict label = lists.labels + begin, * __restrict logit = lists.logits + begin;
    const T* __restrict weight = lists.weights + list * lists.list_stride;
    T* __restrict costs = costs_.data();
    int32_t num_valid = 0;  // as wide as a label, for the sake of vectors
    for (int64_t i = 0; i < size; ++i) num_valid += label[i] >= 0;
    totals->elements += num_valid;
    if (lists.item_stride != 0) {
      for (int64_t i = 0; i < size; ++i) costs[i] += weight[i] * CostOf(label[i], logit[i]);
      AddWeights(label, weight, size);
    } else if (size > 0) {
      const T shared = *weight;
      for (int64_t i = 0; i < size; ++i) costs[i] += shared * CostOf(label[i], logit[i]);
      totals->weight += double{shared} * num_valid;
      totals->nonzero += shared != 0 ? num_valid : 0;
    }
  }

  // After the last list.
  void AddSumsTo(Totals* totals) const {
    for (const T cost : costs_) totals->loss += cost;
    for (const T weight : weights_) totals->weight += weight;
    for (const T count : counts_) totals->nonzero += static_cast<int64_t>(count);
  }

  MONOLITH_INLINE void Differentiate(const Lists<T>& lists, int64_t list, T scale, T* __restrict gradient) const {
    const int64_t begin = list * lists.list_size, size = std::min(lists.list_size, lists.num_items - begin);
    const T* __restrict label = lists.labels + begin, * __restrict logit = lists.logits + begin;
    const T* __restrict weight = lists.weights + list * lists.list_stride;
    if (lists.item_stride != 0) {
      for (int64_t i = 0; i < size; ++i) gradient[begin + i] = scale * weight[i] * SlopeOf(label[i], logit[i]);
    } else if (size > 0) {
      const T shared = scale * *weight;
      for (int64_t i = 0; i < size; ++i) gradient[begin + i] = shared * SlopeOf(label[i], logit[i]);
    }
  }

 private:
  static MONOLITH_INLINE T CostOf(T label, T logit) {
    const T cost = Cost::Cost(label, logit);
    return label >= 0 ? cost : T{0};
  }
  static MONOLITH_INLINE T SlopeOf(T label, T logit) {
    const T slope = Cost::Slope(label, logit);
    return label >= 0 ? slope : T{0};
  }

  MONOLITH_INLINE void AddWeights(const T* __restrict label, const T* __restrict weight, int64_t size) {
    T* __restrict weights = weights_.data(), * __restrict counts = counts_.data();
    for (int64_t i = 0; i < size; ++i) {
      const T valid = label[i] >= 0 ? weight[i] : T{0};
      weights[i] += valid;
      counts[i] += valid != 0 ? T{1} : T{0};
    }
  }

  // Sums of all lists by the number of an item.
  std::vector<T> costs_, weights_, counts_;
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_ITEM_LOSSES_H_
