// SPDX-License-Identifier: Apache-2.0
// The cross-entropy of the labels of a list, brought to a sum of 1, with the softmax of its logits; weighted by that sum.
#ifndef CC_LOSSES_SOFTMAX_LOSS_H_
#define CC_LOSSES_SOFTMAX_LOSS_H_

#include <algorithm>
#include <cmath>
#include <limits>

#include "cc/losses/pair_math.h"
#include "cc/losses/valid_items.h"

namespace monolith::losses {

template <typename T>
class SoftmaxLoss {
 public:
  MONOLITH_INLINE void AddTo(ValidItems<T>* items, Totals* totals) const {
    items->Pad(0, std::numeric_limits<T>::lowest(), 0);
    const T sum = SumOfTargets(*items);
    if (!(sum > 0)) return;
    const T best = Best(*items), log_total = std::log(Exponentiate(best, items));
    const T *label = items->label.data(), *weight = items->weight.data(), *logit = items->logit.data();
    T costs[kItemLanes] = {};
    for (int64_t i = 0; i < items->padded_size(); i += kItemLanes) {
      for (int64_t lane = 0; lane < kItemLanes; ++lane) {
        const T target = label[i + lane] * weight[i + lane];
        const T cost = target * (log_total - (logit[i + lane] - best));
        costs[lane] += target != 0 ? cost : T{0};
      }
    }
    totals->Add(double{SumOfLanes(costs)} / sum, sum);
  }

  MONOLITH_INLINE void Differentiate(ValidItems<T>* items) const {
    items->ClearGradient();
    items->Pad(0, std::numeric_limits<T>::lowest(), 0);
    const T sum = SumOfTargets(*items);
    if (!(sum > 0)) return;
    const T share = sum / Exponentiate(Best(*items), items);
    for (int64_t i = 0; i < items->size(); ++i) {
      items->gradient[i] = share * items->gradient[i] - items->label[i] * items->weight[i];
    }
  }

 private:
  // The share that an invalid item has in a softmax whose best item has the share 1.
  static constexpr double kShareOfInvalid = 1e-10;

  // Requires for the rest: items are padded by targets of 0 and the lowest logit.

  static MONOLITH_INLINE T SumOfTargets(const ValidItems<T>& items) {
    const T *label = items.label.data(), *weight = items.weight.data();
    T sums[kItemLanes] = {};
    for (int64_t i = 0; i < items.padded_size(); i += kItemLanes) {
      for (int64_t lane = 0; lane < kItemLanes; ++lane) sums[lane] += label[i + lane] * weight[i + lane];
    }
    return SumOfLanes(sums);
  }

  static MONOLITH_INLINE T Best(const ValidItems<T>& items) {
    const T* logit = items.logit.data();
    T best[kItemLanes];
    std::fill_n(best, kItemLanes, std::numeric_limits<T>::lowest());
    for (int64_t i = 0; i < items.padded_size(); i += kItemLanes) {
      for (int64_t lane = 0; lane < kItemLanes; ++lane) best[lane] = std::max(best[lane], logit[i + lane]);
    }
    return *std::max_element(best, best + kItemLanes);
  }

  // Puts e^(logit - best) where the gradient will be; returns the sum, invalid items included. What the padding adds is
  // below the last digit of a sum that has the best item's 1.
  static MONOLITH_INLINE T Exponentiate(T best, ValidItems<T>* items) {
    const T* logit = items->logit.data();
    T* __restrict power = items->gradient.data();
    T sums[kItemLanes] = {};
    for (int64_t i = 0; i < items->padded_size(); i += kItemLanes) {
      for (int64_t lane = 0; lane < kItemLanes; ++lane) {
        power[i + lane] = ExpOfNegative(logit[i + lane] - best);
        sums[lane] += power[i + lane];
      }
    }
    return SumOfLanes(sums) + static_cast<T>(kShareOfInvalid) * (items->list_size() - items->size());
  }
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_SOFTMAX_LOSS_H_
