// SPDX-License-Identifier: Apache-2.0
// Minus the log-likelihood of the order of labels, if items are drawn one after another by the softmax of the rest.
#ifndef CC_LOSSES_LIST_MLE_LOSS_H_
#define CC_LOSSES_LIST_MLE_LOSS_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "cc/losses/valid_items.h"

namespace monolith::losses {

// What ListMLE has beyond what other losses have.
template <typename T>
struct DrawSettings {
  const T* ties;          // [num_lists, list_size]: of equal labels, the item with the larger number is drawn first
  const T* rank_weights;  // weight of the first draw, of the second, ...
  int64_t list_stride, rank_stride;  // steps through rank_weights, 0 along an axis that shares them
};

// Draw k takes the share e^(s_k - m_k) / S_k, with m_k the best of the scores from s_k on and S_k the sum of e^(s - m_k) over
// them: no power overflows, and S_k is in [1, list_size]. Invalid items are drawn last; their draws cost ln(how many are
// left).
template <typename T>
class ListMleLoss {
 public:
  ListMleLoss(const DrawSettings<T>& settings, int64_t list_size)
      : settings_(settings), list_size_(list_size), order_(list_size), draws_(list_size) {}

  MONOLITH_INLINE void AddTo(int64_t list, ValidItems<T>* items, Totals* totals) {
    const double weight = items->list_weight();
    double cost = 0;
    if (weight != 0) {
      Order(list, *items);
      const int64_t n = items->size();
      for (int64_t k = 0; k < n; ++k) {
        const Draw& draw = draws_[k];
        cost += RankWeight(list, k) * (draw.best - draw.score + std::log(draw.sum));
      }
      for (int64_t k = n; k < list_size_; ++k) cost += RankWeight(list, k) * std::log(double(list_size_ - k));
    }
    totals->Add(cost, weight);
  }

  MONOLITH_INLINE void Differentiate(int64_t list, ValidItems<T>* items) {
    items->ClearGradient();
    const double weight = items->list_weight();
    if (weight == 0) return;
    Order(list, *items);
    // The sum over the draws until here of rank weight / S, each times e^(m_k - its own m).
    double shares = 0;
    for (int64_t k = 0; k < items->size(); ++k) {
      const Draw& draw = draws_[k];
      if (k > 0 && draw.best != draws_[k - 1].best) shares *= std::exp(draw.best - draws_[k - 1].best);
      shares += RankWeight(list, k) / draw.sum;
      items->gradient[order_[k]] = weight * (draw.power * shares - RankWeight(list, k));
    }
  }

 private:
  struct Draw {
    double score, best, sum;  // s_k, m_k, S_k
    double power;             // e^(s_k - m_k)
  };

  double RankWeight(int64_t list, int64_t k) const {
    return settings_.rank_weights[list * settings_.list_stride + k * settings_.rank_stride];
  }

  // Sorts items, and sums up from the last to the first.
  void Order(int64_t list, const ValidItems<T>& items) {
    const T* ties = settings_.ties + list * list_size_;
    const int64_t n = items.size();
    for (int64_t k = 0; k < n; ++k) order_[k] = k;
    std::sort(order_.begin(), order_.begin() + n, [&](int64_t a, int64_t b) {
      if (items.label[a] != items.label[b]) return items.label[a] > items.label[b];
      const T tie_a = ties[items.place[a]], tie_b = ties[items.place[b]];
      return tie_a != tie_b ? tie_a > tie_b : a < b;
    });
    for (int64_t k = n; k-- > 0;) {
      Draw& draw = draws_[k];
      draw.score = items.logit[order_[k]];
      if (k + 1 == n) {
        draw = {draw.score, draw.score, 1, 1};
        continue;
      }
      const Draw& next = draws_[k + 1];
      if (draw.score > next.best) {
        draw.best = draw.score;
        draw.power = 1;
        draw.sum = next.sum * std::exp(next.best - draw.score) + 1;
      } else {
        draw.best = next.best;
        draw.power = std::exp(draw.score - next.best);
        draw.sum = next.sum + draw.power;
      }
    }
  }

  DrawSettings<T> settings_;
  int64_t list_size_;
  std::vector<int64_t> order_;
  std::vector<Draw> draws_;
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_LIST_MLE_LOSS_H_
