// SPDX-License-Identifier: Apache-2.0
// Minus NDCG with smooth ranks, r_i = 1 + sum over j != i of sigmoid(alpha (s_j - s_i)).
#ifndef CC_LOSSES_APPROX_NDCG_LOSS_H_
#define CC_LOSSES_APPROX_NDCG_LOSS_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "cc/losses/pair_math.h"
#include "cc/losses/valid_items.h"

namespace monolith::losses {

template <typename T>
class ApproxNdcgLoss {
 public:
  ApproxNdcgLoss(T alpha, int64_t list_size)
      : alpha_(alpha), discounts_(list_size + 1), gains_(list_size + kItemLanes) {
    for (int64_t rank = 1; rank <= list_size; ++rank) {
      discounts_[rank] = discounts_[rank - 1] + 1 / std::log1p(double(rank));
    }
  }

  MONOLITH_INLINE void AddTo(ValidItems<T>* items, Totals* totals) {
    if (!HasLabels(*items)) return;
    const double ideal = IdealDcg(items);
    FindRanks(items);
    double dcg = 0;
    for (int64_t i = 0; i < items->size(); ++i) dcg += gains_[i] / std::log(1 + items->costs[i]);
    totals->Add(ideal > 0 ? -dcg / ideal : 0, items->list_weight());
  }

  MONOLITH_INLINE void Differentiate(ValidItems<T>* items) {
    items->ClearGradient();
    if (!HasLabels(*items)) return;
    const double ideal = IdealDcg(items), scale = ideal > 0 ? items->list_weight() / ideal : 0;
    FindRanks(items);
    // What one rank more of an item adds to the loss.
    T* __restrict by_rank = items->weights.data();
    for (int64_t i = 0; i < items->size(); ++i) {
      const T next = 1 + items->costs[i], log = std::log(next);
      by_rank[i] = alpha_ * scale * gains_[i] / (next * log * log);
    }
    const int64_t padded = items->padded_size();
    const T* __restrict logit = items->logit.data();
    T* __restrict gradient = items->gradient.data();
    for (int64_t i = 0; i < items->size(); ++i) {
      const T logit_i = logit[i], by_rank_i = by_rank[i];
      // j pushes i down and is pushed down by it, with one slope.
      for (int64_t j = 0; j < padded; ++j) {
        gradient[j] += (by_rank_i - by_rank[j]) * SigmoidSlope(alpha_ * (logit[j] - logit_i));
      }
    }
  }

 private:
  static bool HasLabels(const ValidItems<T>& items) {
    T sum = 0;
    for (int64_t i = 0; i < items.size(); ++i) sum += items.label[i];
    return sum > 0;
  }

  // Reads the gains, and returns what the best order is worth. In it, items of one gain stand behind all with a larger
  // one and share what their places are worth.
  MONOLITH_INLINE double IdealDcg(ValidItems<T>* items) {
    const int64_t size = items->size(), padded = items->padded_size();
    for (int64_t i = 0; i < size; ++i) gains_[i] = std::exp2(items->label[i]) - 1;
    std::fill(gains_.begin() + size, gains_.begin() + padded, T{-1});
    const T* __restrict gain = gains_.data();
    T* __restrict above = items->costs.data(), * __restrict equal = items->weights.data();
    std::fill_n(above, padded, T{0});
    std::fill_n(equal, padded, T{0});
    for (int64_t j = 0; j < size; ++j) {
      const T gain_j = gain[j];
      for (int64_t i = 0; i < padded; ++i) {
        above[i] += gain_j > gain[i] ? T{1} : T{0};
        equal[i] += gain_j == gain[i] ? T{1} : T{0};
      }
    }
    double dcg = 0;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t first = static_cast<int64_t>(above[i]), last = first + static_cast<int64_t>(equal[i]);
      dcg += gain[i] * (discounts_[last] - discounts_[first]) / (last - first);
    }
    return dcg;
  }

  // Ranks come to stand in the costs.
  MONOLITH_INLINE void FindRanks(ValidItems<T>* items) const {
    items->Pad(0, 0, 0);
    const int64_t padded = items->padded_size();
    const T* __restrict logit = items->logit.data();
    T* __restrict ranks = items->costs.data();
    std::fill_n(ranks, padded, T{0.5});  // an item itself has a share of a half
    for (int64_t j = 0; j < items->size(); ++j) {
      const T logit_j = logit[j];
      for (int64_t i = 0; i < padded; ++i) ranks[i] += Sigmoid(alpha_ * (logit_j - logit[i]));
    }
  }

  T alpha_;
  std::vector<double> discounts_;  // of the first rank, of the first two, ... summed up
  std::vector<T> gains_;
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_APPROX_NDCG_LOSS_H_
