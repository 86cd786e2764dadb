// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_OCCURRENCE_THRESHOLDS_H_
#define CC_HASH_TABLE_OCCURRENCE_THRESHOLDS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cc/hash_table/hashing.h"
#include "cc/hash_table/table_config.h"

namespace monolith {

// How many sightings of a fid are dropped before it gets an entry, by its (version 2) slot; 0 drops none.
struct OccurrenceThresholdConfig {
  std::map<uint32_t, uint32_t> by_slot;
  uint32_t default_threshold = 0;
};

// The same, for one look-up a fid.
class OccurrenceThresholds {
 public:
  // Throws TableError for a slot that no fid has.
  explicit OccurrenceThresholds(const OccurrenceThresholdConfig& config)
      : thresholds_(kNumSlots, config.default_threshold) {
    for (const auto& [slot, threshold] : config.by_slot) {
      if (slot >= kNumSlots) {
        throw TableError("the occurrence threshold of slot " + std::to_string(slot) + ": slots end at " +
                         std::to_string(kNumSlots - 1) + ".");
      }
      thresholds_[slot] = threshold;
    }
  }

  uint32_t Of(int64_t fid) const { return thresholds_[SlotOfFid(fid)]; }

 private:
  std::vector<uint32_t> thresholds_;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_OCCURRENCE_THRESHOLDS_H_
