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
    const T missing = 1 - d;
    return missing < 0 ? T{0} : missing;  // not a number stays one
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
  MONOLITH_INLINE void AddTo(ValidItems<T> *items, Totals *totals) const {
    totals->elements += items->list_size() * items->list_size();
    Pad(items);
    items->ClearSums();
    const int64_t padded = items->padded_size();
    const T *__restrict label = items->label.data(), *__restrict logit = items->logit.data();
    T *__restrict costs = items->costs.data(), *__restrict weights = items->weights.data(),
                  *__restrict counts = items->counts.data();
    for (int64_t i = 0; i < items->size(); ++i) {
      const T label_i = label[i], logit_i = logit[i], weight = items->weight[i];
      if (weight == 0) continue;
      for (int64_t j = 0; j < padded; ++j) {
        const T gap = label_i - label[j], by = weight * gap, cost = by * Cost::Cost(logit_i - logit[j]);
        costs[j] += gap > 0 ? cost : T{0};
        weights[j] += gap > 0 ? by : T{0};
        counts[j] += gap > 0 ? T{1} : T{0};
      }
    }
    items->AddSumsTo(totals);
  }

  MONOLITH_INLINE void Differentiate(ValidItems<T> *items) const {
    Pad(items);
    items->ClearGradient();
    const int64_t padded = items->padded_size();
    const T *__restrict label = items->label.data(), *__restrict logit = items->logit.data(),
                        *__restrict weight = items->weight.data();
    T *__restrict gradient = items->gradient.data();
    for (int64_t i = 0; i < items->size(); ++i) {
      const T label_i = label[i], logit_i = logit[i], weight_i = weight[i];
      // What the pair of i and j adds to j, whichever is the better one. Labels that are equal make 0.
      for (int64_t j = 0; j < padded; ++j) {
        const T gap = label_i - label[j], d = logit_i - logit[j], other_d = -d, weight_j = weight[j];
        const T slope = Cost::Slope(gap > 0 ? d : other_d);
        const T share = gap * slope * (gap > 0 ? weight_i : weight_j);
        gradient[j] -= share;
      }
    }
  }

 private:
  // No item is better than what fills up, whose gradient nobody reads.
  static MONOLITH_INLINE void Pad(ValidItems<T> *items) { items->Pad(std::numeric_limits<T>::max(), 0, 0); }
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_PAIR_LOSSES_H_
