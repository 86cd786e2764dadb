// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_PROBABILISTIC_FILTER_H_
#define CC_HASH_TABLE_PROBABILISTIC_FILTER_H_

#include <cstdint>

#include "cc/hash_table/embedding_table.h"
#include "cc/hash_table/occurrence_thresholds.h"

namespace monolith {

// Admits an absent fid by chance, and remembers nothing. With c sightings and a threshold t it is admitted
//   - with probability min(1, c / t), or
//   - with `equal_probability`, 1 - 0.05^(c / t): every sighting has the same chance, and a fid that was seen t times
//     has been admitted with probability 0.95.
// Threshold 0 admits always.
class ProbabilisticFilter : public AdmissionFilter {
 public:
  // Throws TableError for a slot that no fid has.
  ProbabilisticFilter(bool equal_probability, const OccurrenceThresholdConfig& thresholds)
      : equal_probability_(equal_probability), thresholds_(thresholds) {}

  bool Admit(int64_t fid, int64_t occurrences) override;

 private:
  const bool equal_probability_;
  const OccurrenceThresholds thresholds_;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_PROBABILISTIC_FILTER_H_
