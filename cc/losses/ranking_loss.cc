// SPDX-License-Identifier: Apache-2.0
#include "cc/losses/ranking_loss.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "cc/hash_table/simd_step.h"
#include "cc/losses/approx_ndcg_loss.h"
#include "cc/losses/item_losses.h"
#include "cc/losses/pair_losses.h"
#include "cc/losses/softmax_loss.h"

namespace monolith::losses {
namespace {

constexpr std::pair<std::string_view, RankingLossKind> kNames[] = {
    {"pairwise_hinge_loss", RankingLossKind::kPairwiseHinge},
    {"pairwise_logistic_loss", RankingLossKind::kPairwiseLogistic},
    {"pairwise_soft_zero_one_loss", RankingLossKind::kPairwiseSoftZeroOne},
    {"softmax_loss", RankingLossKind::kSoftmax},
    {"sigmoid_cross_entropy_loss", RankingLossKind::kSigmoidCrossEntropy},
    {"mean_squared_loss", RankingLossKind::kMeanSquared},
    {"list_mle_loss", RankingLossKind::kListMle},
    {"approx_ndcg_loss", RankingLossKind::kApproxNdcg},
};

constexpr std::pair<std::string_view, RankingReduction> kReductions[] = {
    {"weighted_sum", RankingReduction::kSum},
    {"weighted_mean", RankingReduction::kMean},
    {"weighted_sum_by_nonzero_weights", RankingReduction::kByNonzero},
    {"weighted_sum_over_batch_size", RankingReduction::kByElements},
};

template <typename Value, size_t kSize>
std::optional<Value> Find(const std::pair<std::string_view, Value> (&entries)[kSize], std::string_view name) {
  for (const auto& [found, value] : entries) {
    if (found == name) return value;
  }
  return std::nullopt;
}

// Runs a loop whose parts are all inlined, with the widest vectors that gain anything here: 8 floats.
#if defined(__x86_64__)
template <typename Loop>
__attribute__((target("avx2"))) void RunAvx2(const Loop& loop) {
  loop.Run();
}
#endif

template <typename Loop>
void RunVectorised(const Loop& loop) {
#if defined(__x86_64__)
  if (CurrentSimdLevel() >= SimdLevel::kAvx2) return RunAvx2(loop);
#endif
  loop.Run();
}

template <typename Loss>
constexpr bool kDrawsItems = false;
template <typename T>
constexpr bool kDrawsItems<ListMleLoss<T>> = true;

template <typename T, typename Loss>
struct TotalsLoop {
  const Lists<T>& lists;
  int64_t begin, end;
  Loss* loss;
  ValidItems<T>* items;
  Totals* totals;

  MONOLITH_INLINE void Run() const {
    for (int64_t list = begin; list < end; ++list) {
      items->Read(lists, list);
      if constexpr (kDrawsItems<Loss>) {
        loss->AddTo(list, items, totals);
      } else {
        loss->AddTo(items, totals);
      }
    }
  }
};

template <typename T, typename Loss>
struct GradientLoop {
  const Lists<T>& lists;
  int64_t begin, end;
  Loss* loss;
  ValidItems<T>* items;
  T scale;
  T* gradient;

  MONOLITH_INLINE void Run() const {
    for (int64_t list = begin; list < end; ++list) {
      items->Read(lists, list);
      if constexpr (kDrawsItems<Loss>) {
        loss->Differentiate(list, items);
      } else {
        loss->Differentiate(items);
      }
      items->WriteGradient(scale, gradient + list * lists.list_size);
    }
  }
};

}  // namespace

std::optional<RankingLossKind> RankingLossOfName(std::string_view name) { return Find(kNames, name); }
std::optional<RankingReduction> RankingReductionOfName(std::string_view name) { return Find(kReductions, name); }

double Divisor(RankingReduction reduction, const Totals& totals) {
  switch (reduction) {
    case RankingReduction::kSum:
      return 1;
    case RankingReduction::kMean:
      return totals.weight;
    case RankingReduction::kByNonzero:
      return totals.nonzero;
    case RankingReduction::kByElements:
      return totals.elements;
  }
  return 0;
}

double Divide(double dividend, double divisor) { return divisor == 0 ? 0 : dividend / divisor; }

template <typename T>
int64_t RankingLossWork<T>::cost_per_unit() const {
  const int64_t lists = std::min(lists_.num_lists, kListsPerUnit), items = lists * lists_.list_size;
  switch (kind_) {
    case RankingLossKind::kPairwiseHinge:
    case RankingLossKind::kPairwiseLogistic:
    case RankingLossKind::kPairwiseSoftZeroOne:
    case RankingLossKind::kApproxNdcg:
      return 1 + items * (lists_.list_size + 4);
    case RankingLossKind::kListMle:
      return 1 + 40 * items;
    default:
      return 1 + 4 * items;
  }
}

template <typename T>
template <typename Visitor>
void RankingLossWork<T>::WithLoss(const Visitor& visit) const {
  switch (kind_) {
    case RankingLossKind::kPairwiseHinge:
      return visit(PairLoss<Hinge, T>());
    case RankingLossKind::kPairwiseLogistic:
      return visit(PairLoss<Logistic, T>());
    case RankingLossKind::kPairwiseSoftZeroOne:
      return visit(PairLoss<SoftZeroOne, T>());
    case RankingLossKind::kSoftmax:
      return visit(SoftmaxLoss<T>());
    case RankingLossKind::kSigmoidCrossEntropy:
      return visit(ItemLoss<SigmoidCrossEntropy, T>());
    case RankingLossKind::kMeanSquared:
      return visit(ItemLoss<SquaredError, T>());
    case RankingLossKind::kListMle:
      return visit(ListMleLoss<T>(draws_, lists_.list_size));
    case RankingLossKind::kApproxNdcg:
      return visit(ApproxNdcgLoss<T>(alpha_, lists_.list_size));
  }
}

template <typename T>
Totals RankingLossWork<T>::UnitTotals(int64_t unit) const {
  Totals totals;
  const int64_t begin = unit * kListsPerUnit, end = std::min(begin + kListsPerUnit, lists_.num_lists);
  ValidItems<T> items(lists_.list_size);
  WithLoss(
      [&](auto loss) { RunVectorised(TotalsLoop<T, decltype(loss)>{lists_, begin, end, &loss, &items, &totals}); });
  return totals;
}

template <typename T>
void RankingLossWork<T>::UnitGradient(int64_t unit, double scale, T* gradient) const {
  const int64_t begin = unit * kListsPerUnit, end = std::min(begin + kListsPerUnit, lists_.num_lists);
  ValidItems<T> items(lists_.list_size);
  WithLoss([&](auto loss) {
    RunVectorised(GradientLoop<T, decltype(loss)>{lists_, begin, end, &loss, &items, static_cast<T>(scale), gradient});
  });
}

template class RankingLossWork<float>;
template class RankingLossWork<double>;

}  // namespace monolith::losses
