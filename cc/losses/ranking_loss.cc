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

constexpr int64_t kListsPerUnit = 64;
// Of items that are counted one by one, where the batch's own lists do not matter.
constexpr int64_t kLongList = 256, kLongListsPerUnit = 16;

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

// How a loss of one list at a time is asked: most get its valid items, ListMLE also which list it is, and losses of single
// items read the lists themselves.
template <typename Loss>
constexpr bool kDrawsItems = false;
template <typename T>
constexpr bool kDrawsItems<ListMleLoss<T>> = true;

template <typename Loss>
constexpr bool kReadsLists = false;
template <typename Cost, typename T>
constexpr bool kReadsLists<ItemLoss<Cost, T>> = true;

template <typename T, typename Loss>
struct TotalsLoop {
  const Lists<T>& lists;
  int64_t begin, end;
  Loss* loss;
  Totals* totals;

  MONOLITH_INLINE void Run() const {
    ValidItems<T> items(kReadsLists<Loss> ? 0 : lists.list_size);
    for (int64_t list = begin; list < end; ++list) {
      if constexpr (kReadsLists<Loss>) {
        loss->AddTo(lists, list, totals);
        continue;
      }
      items.Read(lists, list);
      if constexpr (kDrawsItems<Loss>) {
        loss->AddTo(list, &items, totals);
      } else if constexpr (!kReadsLists<Loss>) {
        loss->AddTo(&items, totals);
      }
    }
    if constexpr (kReadsLists<Loss>) loss->AddSumsTo(totals);
  }
};

template <typename T, typename Loss>
struct GradientLoop {
  const Lists<T>& lists;
  int64_t begin, end;
  Loss* loss;
  T scale;
  T* gradient;

  MONOLITH_INLINE void Run() const {
    ValidItems<T> items(kReadsLists<Loss> ? 0 : lists.list_size);
    for (int64_t list = begin; list < end; ++list) {
      if constexpr (kReadsLists<Loss>) {
        loss->Differentiate(lists, list, scale, gradient);
        continue;
      }
      items.Read(lists, list);
      if constexpr (kDrawsItems<Loss>) {
        loss->Differentiate(list, &items);
      } else if constexpr (!kReadsLists<Loss>) {
        loss->Differentiate(&items);
      }
      items.WriteGradient(scale, gradient + list * lists.list_size);
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
RankingLossWork<T>::RankingLossWork(RankingLossKind kind, const Lists<T>& lists, double alpha,
                                    const DrawSettings<T>& draws)
    : kind_(kind), lists_(lists), alpha_(alpha), draws_(draws), lists_per_unit_(kListsPerUnit) {
  const bool by_item = kind == RankingLossKind::kSigmoidCrossEntropy || kind == RankingLossKind::kMeanSquared;
  const bool weights_are_even = lists.item_stride == 0 ? lists.list_stride == 0 : lists.list_stride == lists.list_size;
  if (!by_item || !weights_are_even) return;
  // Where lists do not matter, long ones cost less to begin.
  lists_.num_lists = (lists.num_items + kLongList - 1) / kLongList;
  lists_.list_size = kLongList;
  if (lists.item_stride != 0) lists_.list_stride = kLongList;
  lists_per_unit_ = kLongListsPerUnit;
}

template <typename T>
int64_t RankingLossWork<T>::cost_per_unit() const {
  const int64_t lists = std::min(lists_.num_lists, lists_per_unit_), items = lists * lists_.list_size;
  switch (kind_) {
    case RankingLossKind::kPairwiseHinge:
    case RankingLossKind::kPairwiseLogistic:
    case RankingLossKind::kPairwiseSoftZeroOne:
    case RankingLossKind::kApproxNdcg:
      return 1 + items * (lists_.list_size + 4);
    case RankingLossKind::kListMle:
      return 1 + 40 * items;
    case RankingLossKind::kSoftmax:
      return 1 + 4 * items;
    case RankingLossKind::kSigmoidCrossEntropy:
      return 1 + 2 * items;
    case RankingLossKind::kMeanSquared:
      return 1 + items / 4;
  }
  return 1;
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
      return visit(ItemLoss<SigmoidCrossEntropy, T>(lists_));
    case RankingLossKind::kMeanSquared:
      return visit(ItemLoss<SquaredError, T>(lists_));
    case RankingLossKind::kListMle:
      return visit(ListMleLoss<T>(draws_, lists_.list_size));
    case RankingLossKind::kApproxNdcg:
      return visit(ApproxNdcgLoss<T>(alpha_, lists_.list_size));
  }
}

template <typename T>
Totals RankingLossWork<T>::UnitTotals(int64_t unit) const {
  Totals totals;
  const int64_t begin = unit * lists_per_unit_, end = std::min(begin + lists_per_unit_, lists_.num_lists);
  WithLoss([&](auto loss) { RunVectorised(TotalsLoop<T, decltype(loss)>{lists_, begin, end, &loss, &totals}); });
  return totals;
}

template <typename T>
void RankingLossWork<T>::UnitGradient(int64_t unit, double scale, T* gradient) const {
  const int64_t begin = unit * lists_per_unit_, end = std::min(begin + lists_per_unit_, lists_.num_lists);
  WithLoss([&](auto loss) {
    RunVectorised(GradientLoop<T, decltype(loss)>{lists_, begin, end, &loss, static_cast<T>(scale), gradient});
  });
}

template class RankingLossWork<float>;
template class RankingLossWork<double>;

}  // namespace monolith::losses
