// SPDX-License-Identifier: Apache-2.0
// The inner loops over pairs, vectorised for the instructions that the processor has; the same bits for all of them.
#ifndef CC_LOSSES_PAIR_LOOPS_H_
#define CC_LOSSES_PAIR_LOOPS_H_

#include <cstdint>

namespace monolith::losses {

// Sums are kept in so many parts, whatever the width of a vector is; factors come in blocks of so many.
constexpr int64_t kLanes = 16;

// Factors are scaled with so many numbers at a time: one division serves them all, and the exponent is taken out of one
// product of them all.
constexpr int64_t kScales = 4;

// The sum of ln(1 + p) over many p.
struct LogSum {
  double product[kLanes];  // in [1, 2)
  double small[kLanes] = {};
  int64_t exponent[kLanes] = {};

  LogSum();
  double Total() const;
};

// Adds ln(1 + p) for every p = scale * factor, to 1e-10 of each.
// Requires: 0 <= p, and (1 + p)^kScales < 1e307; factors are [blocks * kLanes], scales [kScales].
void AddLogs(const double* factors, int64_t blocks, const double* scales, LogSum* sum);

// Adds p / (1 + p) to sums, which are [blocks * kLanes], and to the total of its scale, which are [kScales].
// Requires: as above.
void AddSigmoids(const double* factors, int64_t blocks, const double* scales, double* sums, double* totals);

}  // namespace monolith::losses

#endif  // CC_LOSSES_PAIR_LOOPS_H_
