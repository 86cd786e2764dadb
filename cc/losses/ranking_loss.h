// SPDX-License-Identifier: Apache-2.0
// Ranking losses of a batch of lists, cut into units of work by the batch alone: the bits of a result depend neither on the
// number of threads nor on the processor's vector width.
#ifndef CC_LOSSES_RANKING_LOSS_H_
#define CC_LOSSES_RANKING_LOSS_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "cc/losses/list_mle_loss.h"
#include "cc/losses/valid_items.h"

namespace monolith::losses {

enum class RankingLossKind {
  kPairwiseHinge,
  kPairwiseLogistic,
  kPairwiseSoftZeroOne,
  kSoftmax,
  kSigmoidCrossEntropy,
  kMeanSquared,
  kListMle,
  kApproxNdcg,
};

// "pairwise_hinge_loss", "pairwise_logistic_loss", ..., as users know them; nothing for another name.
std::optional<RankingLossKind> RankingLossOfName(std::string_view name);

// How the totals become one number: their loss divided by Divisor(), or 0 if that is 0. Names are those of
// tf.compat.v1.losses.Reduction.
enum class RankingReduction { kSum, kMean, kByNonzero, kByElements };
std::optional<RankingReduction> RankingReductionOfName(std::string_view name);
double Divisor(RankingReduction reduction, const Totals& totals);
double Divide(double dividend, double divisor);

// `alpha` is the sharpness of kApproxNdcg, `draws` belong to kListMle. T is float or double.
template <typename T>
class RankingLossWork {
 public:
  RankingLossWork(RankingLossKind kind, const Lists<T>& lists, double alpha = 10, const DrawSettings<T>& draws = {});

  int64_t num_units() const { return (lists_.num_lists + lists_per_unit_ - 1) / lists_per_unit_; }
  int64_t cost_per_unit() const;  // ns, roughly

  // The share of one unit; the totals are the sum in the order of units. Units may run at the same time.
  Totals UnitTotals(int64_t unit) const;

  // Writes the gradient of the sum of losses, times `scale`, of one unit's lists; `gradient` is [num_lists, list_size].
  void UnitGradient(int64_t unit, double scale, T* gradient) const;

 private:
  template <typename Visitor>
  void WithLoss(const Visitor& visit) const;

  RankingLossKind kind_;
  Lists<T> lists_;
  double alpha_;
  DrawSettings<T> draws_;
  int64_t lists_per_unit_;
};

extern template class RankingLossWork<float>;
extern template class RankingLossWork<double>;

}  // namespace monolith::losses

#endif  // CC_LOSSES_RANKING_LOSS_H_
