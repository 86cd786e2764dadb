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
    const T sum = SumOfTargets(*items);
    if (!(sum > 0)) return;
    const T best = Best(*items), log_total = std::log(Exponentiate(best, items));
    T cost = 0;
    for (int64_t i = 0; i < items->size(); ++i) {
      const T target = items->label[i] * items->weight[i];
      if (target != 0) cost += target * (log_total - (items->logit[i] - best));
    }
    totals->Add(double{cost} / sum, sum);
  }

  MONOLITH_INLINE void Differentiate(ValidItems<T>* items) const {
    items->ClearGradient();
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

  static MONOLITH_INLINE T SumOfTargets(const ValidItems<T>& items) {
    T sum = 0;
    for (int64_t i = 0; i < items.size(); ++i) sum += items.label[i] * items.weight[i];
    return sum;
  }

  static MONOLITH_INLINE T Best(const ValidItems<T>& items) {
    T best = std::numeric_limits<T>::lowest();
    for (int64_t i = 0; i < items.size(); ++i) best = std::max(best, items.logit[i]);
    return best;
  }

  // Puts e^(logit - best) where the gradient will be; returns the sum, invalid items included.
  static MONOLITH_INLINE T Exponentiate(T best, ValidItems<T>* items) {
    items->Pad(0, best, 0);
    const T* logit = items->logit.data();
    T* __restrict power = items->gradient.data();
    for (int64_t i = 0; i < items->padded_size(); ++i) power[i] = ExpOfNegative(logit[i] - best);
    T sum = static_cast<T>(kShareOfInvalid) * (items->list_size() - items->size());
    for (int64_t i = 0; i < items->size(); ++i) sum += power[i];
    return sum;
  }
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_SOFTMAX_LOSS_H_
