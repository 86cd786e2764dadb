// SPDX-License-Identifier: Apache-2.0
// Losses of every item by itself.
#ifndef CC_LOSSES_ITEM_LOSSES_H_
#define CC_LOSSES_ITEM_LOSSES_H_

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

template <typename Cost, typename T>
class ItemLoss {
 public:
  MONOLITH_INLINE void AddTo(ValidItems<T>* items, Totals* totals) const {
    items->Pad(0, 0, 0);
    const T *label = items->label.data(), *logit = items->logit.data(), *weight = items->weight.data();
    T costs[kItemLanes] = {}, weights[kItemLanes] = {}, nonzero[kItemLanes] = {};
    for (int64_t i = 0; i < items->padded_size(); i += kItemLanes) {
      for (int64_t l = 0; l < kItemLanes; ++l) {
        costs[l] += weight[i + l] * Cost::Cost(label[i + l], logit[i + l]);
        weights[l] += weight[i + l];
        nonzero[l] += weight[i + l] != 0 ? T{1} : T{0};
      }
    }
    totals->loss += SumOfLanes(costs);
    totals->weight += SumOfLanes(weights);
    totals->nonzero += static_cast<int64_t>(SumOfLanes(nonzero));
    totals->elements += items->size();
  }

  MONOLITH_INLINE void Differentiate(ValidItems<T>* items) const {
    items->Pad(0, 0, 0);
    const T *label = items->label.data(), *logit = items->logit.data(), *weight = items->weight.data();
    T* __restrict gradient = items->gradient.data();
    for (int64_t i = 0; i < items->padded_size(); ++i) gradient[i] = weight[i] * Cost::Slope(label[i], logit[i]);
  }
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_ITEM_LOSSES_H_
