// SPDX-License-Identifier: Apache-2.0
// Minus NDCG with smooth ranks, r_i = 1 + sum over j != i of sigmoid(alpha (s_j - s_i)).
#ifndef CC_LOSSES_APPROX_NDCG_LOSS_H_
#define CC_LOSSES_APPROX_NDCG_LOSS_H_

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "cc/losses/pair_math.h"
#include "cc/losses/valid_items.h"

namespace monolith::losses {

template <typename T>
class ApproxNdcgLoss {
 public:
  ApproxNdcgLoss(T alpha, int64_t list_size) : alpha_(alpha), discounts_(list_size), gains_(list_size) {
    for (int64_t rank = 1; rank <= list_size; ++rank) discounts_[rank - 1] = 1 / std::log1p(double(rank));
  }

  MONOLITH_INLINE void AddTo(ValidItems<T>* items, Totals* totals) {
    if (!HasLabels(*items)) return;
    Pad(items);
    const double ideal = IdealDcg(*items);
    double dcg = 0;
    for (int64_t i = 0; i < items->size(); ++i) {
      const double gain = Gain(items->label[i]);
      if (gain != 0) dcg += gain / std::log1p(double{Rank(*items, i)});
    }
    totals->Add(ideal > 0 ? -dcg / ideal : 0, items->list_weight());
  }

  MONOLITH_INLINE void Differentiate(ValidItems<T>* items) {
    items->ClearGradient();
    if (!HasLabels(*items)) return;
    Pad(items);
    const double ideal = IdealDcg(*items), scale = ideal > 0 ? items->list_weight() / ideal : 0;
    const T *logit = items->logit.data(), *valid = items->weight.data();
    T* gradient = items->gradient.data();
    for (int64_t i = 0; i < items->size(); ++i) {
      const double gain = Gain(items->label[i]);
      if (gain == 0) continue;
      const double rank = Rank(*items, i), log = std::log1p(rank);
      // What one rank more of this item adds to the loss.
      const T by_rank = alpha_ * scale * gain / ((1 + rank) * log * log), logit_i = logit[i];
      T sums[kItemLanes] = {};
      for (int64_t j = 0; j < items->padded_size(); j += kItemLanes) {
        for (int64_t l = 0; l < kItemLanes; ++l) {
          const T share = by_rank * valid[j + l] * SigmoidSlope(alpha_ * (logit[j + l] - logit_i));
          gradient[j + l] += share;
          sums[l] += share;
        }
      }
      gradient[i] -= SumOfLanes(sums);
    }
  }

 private:
  static double Gain(T label) { return std::exp2(double{label}) - 1; }

  static bool HasLabels(const ValidItems<T>& items) {
    T sum = 0;
    for (int64_t i = 0; i < items.size(); ++i) sum += items.label[i];
    return sum > 0;
  }

  // From here on, weights say which items there are.
  static MONOLITH_INLINE void Pad(ValidItems<T>* items) {
    std::fill_n(items->weight.begin(), items->size(), T{1});
    items->Pad(0, 0, 0);
  }

  double IdealDcg(const ValidItems<T>& items) {
    for (int64_t i = 0; i < items.size(); ++i) gains_[i] = Gain(items.label[i]);
    std::sort(gains_.begin(), gains_.begin() + items.size(), std::greater<double>());
    double dcg = 0;
    for (int64_t i = 0; i < items.size(); ++i) dcg += gains_[i] * discounts_[i];
    return dcg;
  }

  MONOLITH_INLINE T Rank(const ValidItems<T>& items, int64_t i) const {
    const T *logit = items.logit.data(), *valid = items.weight.data(), logit_i = logit[i];
    T sums[kItemLanes] = {};
    for (int64_t j = 0; j < items.padded_size(); j += kItemLanes) {
      for (int64_t l = 0; l < kItemLanes; ++l) sums[l] += valid[j + l] * Sigmoid(alpha_ * (logit[j + l] - logit_i));
    }
    return SumOfLanes(sums) + T{0.5};  // i itself has a share of a half
  }

  T alpha_;
  std::vector<double> discounts_, gains_;
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_APPROX_NDCG_LOSS_H_
