// SPDX-License-Identifier: Apache-2.0
// Losses over the pairs of a list whose labels differ: the better item should score higher. A pair's weight is the weight of
// its better item, times the difference of the labels. No pair is stored.
#ifndef CC_LOSSES_PAIR_LOSSES_H_
#define CC_LOSSES_PAIR_LOSSES_H_

#include <limits>

#include "cc/losses/pair_math.h"
#include "cc/losses/valid_items.h"

namespace monolith::losses {

// What a pair costs whose better item scores d more than the other, and the derivative by d.
struct Hinge {
  template <typename T>
  static MONOLITH_INLINE T Cost(T d) {
    return d < 1 ? 1 - d : T{0};
  }
  template <typename T>
  static MONOLITH_INLINE T Slope(T d) {
    return d < 1 ? T{-1} : T{0};
  }
};

struct Logistic {
  template <typename T>
  static MONOLITH_INLINE T Cost(T d) {
    return Softplus(-d);
  }
  template <typename T>
  static MONOLITH_INLINE T Slope(T d) {
    return -Sigmoid(-d);
  }
};

struct SoftZeroOne {
  template <typename T>
  static MONOLITH_INLINE T Cost(T d) {
    return Sigmoid(-d);
  }
  template <typename T>
  static MONOLITH_INLINE T Slope(T d) {
    return -SigmoidSlope(d);
  }
};

template <typename Cost, typename T>
class PairLoss {
 public:
  MONOLITH_INLINE void AddTo(ValidItems<T>* items, Totals* totals) const {
    totals->elements += items->list_size() * items->list_size();
    Pad(items);
    const T *label = items->label.data(), *logit = items->logit.data();
    for (int64_t i = 0; i < items->size(); ++i) {
      const T label_i = label[i], logit_i = logit[i], weight = items->weight[i];
      if (weight == 0) continue;
      T costs[kItemLanes] = {}, gaps[kItemLanes] = {}, pairs[kItemLanes] = {};
      for (int64_t j = 0; j < items->padded_size(); j += kItemLanes) {
        for (int64_t l = 0; l < kItemLanes; ++l) {
          const T gap = label_i - label[j + l], cost = Cost::Cost(logit_i - logit[j + l]);
          costs[l] += gap > 0 ? gap * cost : T{0};
          gaps[l] += gap > 0 ? gap : T{0};
          pairs[l] += gap > 0 ? T{1} : T{0};
        }
      }
      totals->loss += double{weight} * SumOfLanes(costs);
      totals->weight += double{weight} * SumOfLanes(gaps);
      totals->nonzero += static_cast<int64_t>(SumOfLanes(pairs));
    }
  }

  MONOLITH_INLINE void Differentiate(ValidItems<T>* items) const {
    Pad(items);
    items->ClearGradient();
    const T *label = items->label.data(), *logit = items->logit.data();
    T* gradient = items->gradient.data();
    for (int64_t i = 0; i < items->size(); ++i) {
      const T label_i = label[i], logit_i = logit[i], weight = items->weight[i];
      if (weight == 0) continue;
      T sums[kItemLanes] = {};
      for (int64_t j = 0; j < items->padded_size(); j += kItemLanes) {
        for (int64_t l = 0; l < kItemLanes; ++l) {
          const T gap = label_i - label[j + l], slope = Cost::Slope(logit_i - logit[j + l]);
          const T share = gap > 0 ? weight * gap * slope : T{0};
          gradient[j + l] -= share;
          sums[l] += share;
        }
      }
      gradient[i] += SumOfLanes(sums);
    }
  }

 private:
  // No item is better than what fills up.
  static MONOLITH_INLINE void Pad(ValidItems<T>* items) { items->Pad(std::numeric_limits<T>::max(), 0, 0); }
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_PAIR_LOSSES_H_
