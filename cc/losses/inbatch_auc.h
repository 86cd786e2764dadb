// SPDX-License-Identifier: Apache-2.0
// The pairwise log-likelihood of a batch: how surely every positive is ranked above every negative.
//
// With P the rows of label > 0, N those of -10000 < label <= 0, z the logits and d = z_i - z_j:
//
//   value           sum over i in P, j in N of ln sigmoid(d)              <= 0; training maximises it
//   gradient        g = 1 - sigmoid(d) is added to row i, and neg_weight * g is taken from row j
//
// No pair is ever stored. Exponentials are needed for rows only, since e^-d = e^-z_i * e^z_j; that also leaves
//
//   ln sigmoid(d) = -ln(1 + p),   g = p / (1 + p),   with p = e^-d
//
// so that a pair costs a few multiplications. Logarithms are taken of products of many factors, whose exponents are
// counted apart; a p too small for 1 + p to hold all of its digits goes into a sum of its own, by the series of the
// logarithm. Rows are grouped into tiles whose logits lie near each other, so that no factor leaves the range of a double:
// pairs of far tiles are worth 0, or d, as a whole.
//
// The work is cut into units by the batch alone, and their results are added in order: the bits of a result depend
// neither on the number of threads nor on the processor's vector width.
#ifndef CC_LOSSES_INBATCH_AUC_H_
#define CC_LOSSES_INBATCH_AUC_H_

#include <cstdint>
#include <vector>

namespace monolith::losses {

class InbatchAucPairs {
 public:
  // `label` and `logit` are [size]. Rows whose label is in neither range, or not a number, take no part.
  InbatchAucPairs(const float* label, const float* logit, int64_t size);

  int64_t num_pairs() const { return static_cast<int64_t>(positives_.rows.size()) * negatives_.rows.size(); }

  // How many independent units the work has; 0 if there is no pair.
  int64_t num_units() const { return num_units_; }

  // The share of one unit in the value; the value is the sum in the order of units. Units may run at the same time.
  double UnitValue(int64_t unit) const;

  // Gradient of the value, before neg_weight and the incoming gradient come in.
  class Gradient {
   public:
    explicit Gradient(const InbatchAucPairs& pairs);

    // Units may run at the same time.
    void RunUnit(int64_t unit);

    // After all units. Writes [size], 0 in rows that take no part. `scale` multiplies everything, `neg_weight`
    // the negatives.
    void Write(double scale, double neg_weight, float* output) const;

   private:
    const InbatchAucPairs& pairs_;
    std::vector<double> positive_;  // in the order of positives_.rows
    std::vector<double> negative_;  // [num_units, negatives_.padded_size]
  };

 private:
  struct Row {
    double logit;
    int64_t index;  // in the batch
  };
  // Consecutive rows whose logits differ by at most kTileSpread.
  struct Tile {
    int64_t begin, end;  // in rows
    int64_t padded;      // where its factors begin in Side::factors
    double low, high;    // the least and the largest logit
    double center;
  };
  struct Side {
    std::vector<Row> rows;
    std::vector<Tile> tiles;
    // e^(center - z) for positives, e^(z - center) for negatives; every tile is filled up with 0 to a multiple of kLanes,
    // which makes p = 0: such pairs are worth nothing.
    std::vector<double> factors;
  };

  static void MakeTiles(bool is_positive, Side* side);
  template <typename Visitor>
  void ForEachTilePair(int64_t unit, const Visitor& visit) const;

  int64_t size_;
  Side positives_, negatives_;
  bool is_finite_ = true;
  int64_t num_units_ = 0;
};

}  // namespace monolith::losses

#endif  // CC_LOSSES_INBATCH_AUC_H_
