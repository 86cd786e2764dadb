// SPDX-License-Identifier: Apache-2.0
#include "cc/losses/inbatch_auc.h"

#include <algorithm>
#include <cmath>

#include "cc/losses/pair_loops.h"

namespace monolith::losses {
namespace {

constexpr float kLeastNegativeLabel = -10000;

// A difference of at least kZeroFrom is worth nothing, one of at most kLinearUntil is worth d itself: what is left out is
// below the smallest normal float.
constexpr double kZeroFrom = 88, kLinearUntil = -87;

// With this spread, the p of two tiles that are neither worth 0 nor d as a whole is below e^(88 + 2 * 40), and
// a product of kScales of them is below 1e307.
constexpr double kTileSpread = 40;

// Tiles of positives are short, since the units of work are made of them; those of negatives fit into a first-level
// cache with their gradients.
constexpr int64_t kPositiveTileRows = 32, kNegativeTileRows = 1024;

// Every unit has gradients of all negatives of its own, so that the memory grows with the batch, not with its square.
constexpr int64_t kMostUnits = 16;

int64_t RoundUp(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

double PairValue(double d) {
  if (d <= kLinearUntil) return d;
  return d >= kZeroFrom ? 0 : -std::log1p(std::exp(-d));
}

double PairGradient(double d) {
  if (d <= kLinearUntil) return 1;
  return d >= kZeroFrom ? 0 : 1 / (1 + std::exp(d));
}

// Calls visit(i, scales) for the first, the fifth, ... of n factors; scales are kScales factors from there on times
// `scale`. Factors are filled up with 0.
template <typename Visitor>
void ForEachScales(int64_t n, const double* factors, double scale, const Visitor& visit) {
  for (int64_t i = 0; i < n; i += kScales) {
    double scales[kScales];
    for (int64_t k = 0; k < kScales; ++k) scales[k] = scale * factors[i + k];
    visit(i, scales);
  }
}

}  // namespace

InbatchAucPairs::InbatchAucPairs(const float* label, const float* logit, int64_t size) : size_(size) {
  for (int64_t i = 0; i < size; ++i) {
    if (label[i] > 0) {
      positives_.rows.push_back({logit[i], i});
    } else if (label[i] > kLeastNegativeLabel) {
      negatives_.rows.push_back({logit[i], i});
    } else {
      continue;
    }
    is_finite_ = is_finite_ && std::isfinite(logit[i]);
  }
  if (positives_.rows.empty() || negatives_.rows.empty()) return;
  MakeTiles(true, &positives_);
  MakeTiles(false, &negatives_);
  num_units_ = std::min<int64_t>(positives_.tiles.size(), kMostUnits);
}

void InbatchAucPairs::MakeTiles(bool is_positive, Side* side) {
  std::vector<Row>& rows = side->rows;
  const auto by_logit = [](const Row& a, const Row& b) { return a.logit < b.logit; };
  const auto [low, high] = std::minmax_element(rows.begin(), rows.end(), by_logit);
  // Rows of usual logits are near each other in any order. What is not finite has no order: such rows are one tile, and
  // their pairs are visited one by one.
  const bool is_finite = std::all_of(rows.begin(), rows.end(), [](const Row& r) { return std::isfinite(r.logit); });
  if (is_finite && high->logit - low->logit > kTileSpread) std::stable_sort(rows.begin(), rows.end(), by_logit);
  const int64_t most = is_positive ? kPositiveTileRows : kNegativeTileRows;
  const int64_t size = rows.size();
  for (int64_t begin = 0, padded = 0; begin < size;) {
    Tile tile{begin, begin, padded, rows[begin].logit, rows[begin].logit, 0};
    for (; tile.end < size && tile.end - begin < most; ++tile.end) {
      const double z = rows[tile.end].logit;
      if (is_finite && std::max(tile.high, z) - std::min(tile.low, z) > kTileSpread) break;
      tile.low = std::min(tile.low, z);
      tile.high = std::max(tile.high, z);
    }
    tile.center = tile.low + (tile.high - tile.low) / 2;
    side->factors.resize(padded + RoundUp(tile.end - begin));
    for (int64_t i = begin; i < tile.end; ++i) {
      const double above = rows[i].logit - tile.center;
      side->factors[padded + i - begin] = std::exp(is_positive ? -above : above);
    }
    side->tiles.push_back(tile);
    begin = tile.end;
    padded = side->factors.size();
  }
}

template <typename Visitor>
void InbatchAucPairs::ForEachTilePair(int64_t unit, const Visitor& visit) const {
  const int64_t tiles = positives_.tiles.size();
  for (int64_t t = unit * tiles / num_units_; t < (unit + 1) * tiles / num_units_; ++t) {
    for (const Tile& negative : negatives_.tiles) visit(positives_.tiles[t], negative);
  }
}

double InbatchAucPairs::UnitValue(int64_t unit) const {
  LogSum logs;
  double apart = 0;
  ForEachTilePair(unit, [&](const Tile& p, const Tile& n) {
    if (!is_finite_) {
      for (int64_t i = p.begin; i < p.end; ++i) {
        for (int64_t j = n.begin; j < n.end; ++j)
          apart += PairValue(positives_.rows[i].logit - negatives_.rows[j].logit);
      }
    } else if (p.high - n.low <= kLinearUntil) {
      for (int64_t i = p.begin; i < p.end; ++i) {
        for (int64_t j = n.begin; j < n.end; ++j) apart += positives_.rows[i].logit - negatives_.rows[j].logit;
      }
    } else if (p.low - n.high < kZeroFrom) {
      const double scale = std::exp(n.center - p.center);
      ForEachScales(p.end - p.begin, &positives_.factors[p.padded], scale, [&](int64_t, const double* scales) {
        AddLogs(&negatives_.factors[n.padded], RoundUp(n.end - n.begin) / kLanes, scales, &logs);
      });
    }
  });
  return apart - logs.Total();
}

InbatchAucPairs::Gradient::Gradient(const InbatchAucPairs& pairs)
    : pairs_(pairs),
      positive_(pairs.positives_.rows.size()),
      negative_(pairs.num_units() * pairs.negatives_.factors.size()) {}

void InbatchAucPairs::Gradient::RunUnit(int64_t unit) {
  const Side &positives = pairs_.positives_, &negatives = pairs_.negatives_;
  double* unit_negative = &negative_[unit * negatives.factors.size()];
  pairs_.ForEachTilePair(unit, [&](const Tile& p, const Tile& n) {
    double* negative = unit_negative + n.padded;
    const bool is_one = pairs_.is_finite_ && p.high - n.low <= kLinearUntil;
    if (!pairs_.is_finite_ || is_one) {
      for (int64_t i = p.begin; i < p.end; ++i) {
        for (int64_t j = n.begin; j < n.end; ++j) {
          const double g = is_one ? 1 : PairGradient(positives.rows[i].logit - negatives.rows[j].logit);
          positive_[i] += g;
          negative[j - n.begin] += g;
        }
      }
    } else if (p.low - n.high < kZeroFrom) {
      const double scale = std::exp(n.center - p.center);
      ForEachScales(p.end - p.begin, &positives.factors[p.padded], scale, [&](int64_t i, const double* scales) {
        double totals[kScales] = {};
        AddSigmoids(&negatives.factors[n.padded], RoundUp(n.end - n.begin) / kLanes, scales, negative, totals);
        for (int64_t k = 0; k < std::min(kScales, p.end - p.begin - i); ++k) positive_[p.begin + i + k] += totals[k];
      });
    }
  });
}

void InbatchAucPairs::Gradient::Write(double scale, double neg_weight, float* output) const {
  std::fill(output, output + pairs_.size_, 0.0f);
  if (pairs_.num_units() == 0) return;
  for (size_t i = 0; i < positive_.size(); ++i) output[pairs_.positives_.rows[i].index] = scale * positive_[i];
  const Side& negatives = pairs_.negatives_;
  const int64_t stride = negatives.factors.size();
  for (const Tile& tile : negatives.tiles) {
    for (int64_t j = tile.begin; j < tile.end; ++j) {
      double sum = 0;
      for (int64_t unit = 0; unit < pairs_.num_units(); ++unit) {
        sum += negative_[unit * stride + tile.padded + j - tile.begin];
      }
      output[negatives.rows[j].index] = -scale * neg_weight * sum;
    }
  }
}

}  // namespace monolith::losses
