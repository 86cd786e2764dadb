// SPDX-License-Identifier: Apache-2.0
// Ranking losses against their formulas, one pair and one item at a time, and gradients against differences.
#include "cc/losses/ranking_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cc/hash_table/cpu_features.h"
#include "cc/losses/pair_math.h"
#include "tests/cc/hash_table/thread_test_util.h"

namespace monolith::losses {
namespace {

using ::testing::Each;

constexpr const char* kNames[] = {
    "pairwise_hinge_loss", "pairwise_logistic_loss", "pairwise_soft_zero_one_loss", "softmax_loss",
    "list_mle_loss",       "approx_ndcg_loss",       "sigmoid_cross_entropy_loss",  "mean_squared_loss"};
constexpr double kAlpha = 3;

enum class Sharing { kNone, kByList, kByItem, kAll };

template <typename T>
struct Batch {
  int64_t num_lists, list_size;
  std::vector<T> labels, logits, weights, ties, rank_weights;
  Sharing sharing = Sharing::kNone;

  Lists<T> lists() const {
    const int64_t list_stride = sharing == Sharing::kByItem || sharing == Sharing::kAll ? 0
                                : sharing == Sharing::kByList                           ? 1
                                                                                        : list_size;
    const int64_t item_stride = sharing == Sharing::kByList || sharing == Sharing::kAll ? 0 : 1;
    return {labels.data(), logits.data(), weights.data(), list_stride,
            item_stride,   num_lists,     list_size,      num_lists * list_size};
  }
  RankingLossWork<T> work(const std::string& name) const {
    return {*RankingLossOfName(name), lists(), kAlpha, {ties.data(), rank_weights.data(), 0, 1}};
  }
  double weight(int64_t list, int64_t item) const {
    const Lists<T> l = lists();
    return weights[list * l.list_stride + item * l.item_stride];
  }
};

template <typename T>
Totals TotalsOf(const std::string& name, const Batch<T>& batch) {
  const RankingLossWork<T> work = batch.work(name);
  Totals totals;
  for (int64_t unit = 0; unit < work.num_units(); ++unit) totals.Add(work.UnitTotals(unit));
  return totals;
}

template <typename T>
std::vector<T> GradientOf(const std::string& name, const Batch<T>& batch, double scale = 1) {
  const RankingLossWork<T> work = batch.work(name);
  std::vector<T> gradient(batch.labels.size(), 77);
  for (int64_t unit = work.num_units(); unit-- > 0;) work.UnitGradient(unit, scale, gradient.data());
  return gradient;
}

Batch<double> RandomBatch(int64_t num_lists, int64_t list_size, Sharing sharing, int seed, bool has_invalid = true) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;  // numbers that a float holds too
  std::uniform_real_distribution<float> uniform(0.1f, 2);
  Batch<double> batch{num_lists, list_size, {}, {}, {}, {}, {}, sharing};
  for (int64_t i = 0; i < num_lists * list_size; ++i) {
    batch.labels.push_back(has_invalid && random() % 4 == 0 ? -1.0 : random() % 4);
    batch.logits.push_back(2 * normal(random));
    batch.weights.push_back(random() % 7 == 0 ? 0 : uniform(random));
    batch.ties.push_back(uniform(random));
    batch.rank_weights.push_back(uniform(random));
  }
  return batch;
}

Batch<float> Narrow(const Batch<double>& b) {
  const auto floats = [](const std::vector<double>& v) { return std::vector<float>(v.begin(), v.end()); };
  return {b.num_lists,       b.list_size,    floats(b.labels),       floats(b.logits),
          floats(b.weights), floats(b.ties), floats(b.rank_weights), b.sharing};
}

// One list by the book. `items` are the places of valid items.
struct Book {
  const Batch<double>& batch;
  int64_t list;
  std::vector<int64_t> items;

  Book(const Batch<double>& b, int64_t l) : batch(b), list(l) {
    for (int64_t i = 0; i < b.list_size; ++i) {
      if (label(i) >= 0) items.push_back(i);
    }
  }
  double label(int64_t i) const { return batch.labels[list * batch.list_size + i]; }
  double logit(int64_t i) const { return batch.logits[list * batch.list_size + i]; }
  double weight(int64_t i) const { return batch.weight(list, i); }

  Totals Pairs(const std::function<double(double)>& cost) const {
    Totals totals;
    for (const int64_t i : items) {
      for (const int64_t j : items) {
        if (label(i) > label(j)) totals.Add(cost(logit(i) - logit(j)), (label(i) - label(j)) * weight(i));
      }
    }
    totals.elements = batch.list_size * batch.list_size;
    return totals;
  }

  Totals Items(const std::function<double(double, double)>& cost) const {
    Totals totals;
    for (const int64_t i : items) totals.Add(cost(label(i), logit(i)), weight(i));
    return totals;
  }

  Totals Softmax() const {
    Totals totals;
    double targets = 0, sum = 0, cost = 0, best = -1e300;
    for (const int64_t i : items) best = std::max(best, logit(i));
    for (const int64_t i : items) targets += label(i) * weight(i);
    for (const int64_t i : items) sum += std::exp(logit(i) - best);
    sum += 1e-10 * (batch.list_size - items.size());
    for (const int64_t i : items) cost -= label(i) * weight(i) / targets * std::log(std::exp(logit(i) - best) / sum);
    if (targets > 0) totals.Add(cost, targets);
    return totals;
  }

  Totals ListMle() const {
    std::vector<int64_t> order = items;
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      const auto key = [&](int64_t i) { return std::make_pair(label(i), batch.ties[list * batch.list_size + i]); };
      return key(a) > key(b);
    });
    double cost = 0;
    for (size_t k = 0; k < order.size(); ++k) {
      double rest = 0;
      for (size_t other = k; other < order.size(); ++other) rest += std::exp(logit(order[other]) - logit(order[k]));
      cost += batch.rank_weights[k] * std::log(rest);
    }
    for (int64_t k = order.size(); k < batch.list_size; ++k) {
      cost += batch.rank_weights[k] * std::log(batch.list_size - k);
    }
    Totals totals;
    totals.Add(cost, weight(0));
    return totals;
  }

  Totals ApproxNdcg() const {
    const auto gain = [](double label) { return std::exp2(label) - 1; };
    std::vector<double> ideal;
    double dcg = 0, best = 0, labels = 0;
    for (const int64_t i : items) {
      double rank = 1;
      for (const int64_t j : items) rank += i == j ? 0 : 1 / (1 + std::exp(-kAlpha * (logit(j) - logit(i))));
      dcg += gain(label(i)) / std::log1p(rank);
      ideal.push_back(label(i));
      labels += label(i);
    }
    std::sort(ideal.rbegin(), ideal.rend());
    for (size_t k = 0; k < ideal.size(); ++k) best += gain(ideal[k]) / std::log1p(k + 1.0);
    Totals totals;
    if (labels > 0) totals.Add(-dcg / best, weight(0));
    return totals;
  }

  Totals ByName(const std::string& name) const {
    if (name == "pairwise_hinge_loss") return Pairs([](double d) { return std::max(0.0, 1 - d); });
    if (name == "pairwise_logistic_loss") return Pairs([](double d) { return std::log1p(std::exp(-d)); });
    if (name == "pairwise_soft_zero_one_loss") return Pairs([](double d) { return 1 / (1 + std::exp(d)); });
    if (name == "softmax_loss") return Softmax();
    if (name == "list_mle_loss") return ListMle();
    if (name == "approx_ndcg_loss") return ApproxNdcg();
    if (name == "mean_squared_loss") return Items([](double y, double s) { return (y - s) * (y - s); });
    return Items([](double y, double s) { return std::log1p(std::exp(s)) - y * s; });
  }
};

Totals ByTheBook(const std::string& name, const Batch<double>& batch) {
  Totals totals;
  for (int64_t list = 0; list < batch.num_lists; ++list) totals.Add(Book(batch, list).ByName(name));
  return totals;
}

class RankingLossTest : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string name = GetParam();

  void ExpectTheBook(const Batch<double>& batch) {
    const Totals wanted = ByTheBook(name, batch);
    const Totals found = TotalsOf(name, batch), narrow = TotalsOf(name, Narrow(batch));
    EXPECT_NEAR(found.loss, wanted.loss, 1e-11 * std::abs(wanted.loss));
    EXPECT_NEAR(found.weight, wanted.weight, 1e-11 * wanted.weight);
    EXPECT_NEAR(narrow.loss, wanted.loss, 3e-6 * std::abs(wanted.loss));
    EXPECT_NEAR(narrow.weight, wanted.weight, 3e-6 * wanted.weight);
    for (const Totals& totals : {found, narrow}) {
      EXPECT_EQ(totals.nonzero, wanted.nonzero);
      EXPECT_EQ(totals.elements, wanted.elements);
    }
  }
};

TEST_P(RankingLossTest, IsTheFormula) {
  for (const Sharing sharing : {Sharing::kNone, Sharing::kByList, Sharing::kByItem, Sharing::kAll}) {
    for (const auto& [lists, size] :
         std::vector<std::pair<int, int>>{{1, 1}, {3, 2}, {70, 7}, {65, 8}, {150, 21}, {2, 400}}) {
      SCOPED_TRACE(::testing::Message() << lists << " x " << size << ", sharing " << static_cast<int>(sharing));
      ExpectTheBook(RandomBatch(lists, size, sharing, lists + size));
      ExpectTheBook(RandomBatch(lists, size, sharing, lists + size, false));
    }
  }
}

TEST_P(RankingLossTest, GradientIsTheDerivative) {
  for (const Sharing sharing : {Sharing::kNone, Sharing::kByList, Sharing::kAll}) {
    Batch<double> batch = RandomBatch(5, 9, sharing, 4);
    const std::vector<double> gradient = GradientOf(name, batch, 2);
    const std::vector<float> narrow = GradientOf(name, Narrow(batch), 2);
    constexpr double kStep = 1e-5;
    for (size_t i = 0; i < gradient.size(); ++i) {
      const double logit = batch.logits[i];
      batch.logits[i] = logit + kStep;
      const double above = TotalsOf(name, batch).loss;
      batch.logits[i] = logit - kStep;
      const double below = TotalsOf(name, batch).loss;
      batch.logits[i] = logit;
      EXPECT_NEAR(gradient[i], (above - below) / kStep, 1e-7) << i;
      EXPECT_NEAR(narrow[i], gradient[i], 1e-5) << i;
      EXPECT_TRUE(batch.labels[i] >= 0 || gradient[i] == 0) << i;
    }
  }
}

TEST_P(RankingLossTest, InvalidItemsMayHoldAnything) {
  Batch<double> batch = RandomBatch(20, 11, Sharing::kNone, 8);
  const Totals before = TotalsOf(name, Narrow(batch));
  const std::vector<float> gradient = GradientOf(name, Narrow(batch));
  const double junk[] = {std::nan(""), HUGE_VAL, -HUGE_VAL};
  for (size_t i = 0; i < batch.labels.size(); ++i) {
    if (batch.labels[i] < 0) batch.logits[i] = junk[i % 3];
    if (batch.labels[i] < 0 && i % 2) batch.labels[i] = std::nan("");
  }
  EXPECT_EQ(TotalsOf(name, Narrow(batch)).loss, before.loss);
  EXPECT_EQ(GradientOf(name, Narrow(batch)), gradient);
}

TEST_P(RankingLossTest, FarScoresStayFinite) {
  Batch<float> batch = Narrow(RandomBatch(6, 5, Sharing::kAll, 2, false));
  for (size_t i = 0; i < batch.logits.size(); ++i) batch.logits[i] = i % 3 ? -1e15f * (i % 5) : 1e15f * (i % 4);
  EXPECT_TRUE(std::isfinite(TotalsOf(name, batch).loss));
  for (const float g : GradientOf(name, batch)) EXPECT_TRUE(std::isfinite(g));
}

TEST_P(RankingLossTest, NotANumberIsSeen) {
  Batch<float> batch = Narrow(RandomBatch(1, 4, Sharing::kAll, 2, false));
  batch.labels = {0, 2, 1, 3};
  batch.weights[0] = 1;
  batch.logits[1] = std::nanf("");
  EXPECT_TRUE(std::isnan(TotalsOf(name, batch).loss));
}

TEST_P(RankingLossTest, BatchesOfNothing) {
  for (const auto& [lists, size] : std::vector<std::pair<int, int>>{{0, 3}, {2, 0}, {0, 0}}) {
    const Batch<double> batch = RandomBatch(lists, size, Sharing::kNone, 1);
    EXPECT_EQ(TotalsOf(name, batch).loss, 0);
    EXPECT_TRUE(GradientOf(name, batch).empty());
  }
  Batch<double> invalid = RandomBatch(3, 4, Sharing::kNone, 1);
  std::fill(invalid.labels.begin(), invalid.labels.end(), -1);
  EXPECT_THAT(GradientOf(name, invalid), Each(0));
}

TEST_P(RankingLossTest, BitsDependNeitherOnThreadsNorOnVectors) {
  for (const Sharing sharing : {Sharing::kNone, Sharing::kAll}) {
    const Batch<float> batch = Narrow(RandomBatch(700, 13, sharing, 5));
    const RankingLossWork<float> work = batch.work(name);
    const double loss = TotalsOf(name, batch).loss;
    const std::vector<float> gradient = GradientOf(name, batch, 0.3);
    std::vector<Totals> parts(work.num_units());
    std::vector<float> threaded(gradient.size());
    ::monolith::testing::RunThreads(work.num_units(), [&](int64_t unit) {
      parts[unit] = work.UnitTotals(unit);
      work.UnitGradient(unit, 0.3, threaded.data());
    });
    Totals totals;
    for (const Totals& part : parts) totals.Add(part);
    EXPECT_EQ(totals.loss, loss);
    EXPECT_EQ(threaded, gradient);
    SetSimdLevelForTest(SimdLevel::kBaseline);
    EXPECT_EQ(TotalsOf(name, batch).loss, loss);
    EXPECT_EQ(GradientOf(name, batch, 0.3), gradient);
    SetSimdLevelForTest(BestSimdLevel());
  }
}

INSTANTIATE_TEST_SUITE_P(All, RankingLossTest, ::testing::ValuesIn(kNames),
                         [](const auto& info) { return std::string(info.param); });

TEST(RankingReductionTest, DivisorsAndNames) {
  const Totals totals{12, 3, 4, 6};
  const auto divisor = [&](const char* name) { return Divisor(*RankingReductionOfName(name), totals); };
  EXPECT_EQ(divisor("weighted_sum"), 1);
  EXPECT_EQ(divisor("weighted_mean"), 3);
  EXPECT_EQ(divisor("weighted_sum_by_nonzero_weights"), 4);
  EXPECT_EQ(divisor("weighted_sum_over_batch_size"), 6);
  EXPECT_EQ(RankingReductionOfName("mean"), std::nullopt);
  EXPECT_EQ(RankingLossOfName("bpr"), std::nullopt);
  EXPECT_EQ(Divide(3, 0), 0);
  EXPECT_EQ(Divide(3, 2), 1.5);
}

TEST(PairMathTest, FloatsAreRightToTheLastDigits) {
  for (float x = -86.9f; x <= 0; x += 0.0371f) {
    EXPECT_NEAR(ExpOfNegative(x) / std::exp(double{x}), 1, 2e-7) << x;
  }
  EXPECT_NEAR(ExpOfNegative(-1000.0f), 1.6e-38, 1e-39);
  EXPECT_EQ(ExpOfNegative(0.0f), 1);
  EXPECT_TRUE(std::isnan(ExpOfNegative(std::nanf(""))));
  for (float u = 1e-30f; u <= 1; u *= 1.01f) EXPECT_NEAR(LogOfOnePlus(u) / std::log1p(double{u}), 1, 3e-7) << u;
  EXPECT_EQ(LogOfOnePlus(0.0f), 0);
  for (float x = -50; x < 50; x += 0.237f) {
    EXPECT_NEAR(Sigmoid(x) * (1 + std::exp(-double{x})), 1, 5e-7) << x;
    EXPECT_NEAR(Softplus(x) / std::log1p(std::exp(double{x})), 1, 5e-7) << x;
    EXPECT_NEAR(SigmoidSlope(x), SigmoidSlope(double{x}), 2e-7) << x;
  }
}

}  // namespace
}  // namespace monolith::losses
