// SPDX-License-Identifier: Apache-2.0
// Filters that keep or drop by chance, and what goes with them.
#ifndef CC_DATA_SAMPLING_H_
#define CC_DATA_SAMPLING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_step.h"

namespace monolith {
namespace data {

struct StrategyConfig {
  std::vector<int64_t> strategies;  // the first that a record has decides
  std::string conf;                 // "strategy:rate[:label],..."
  bool keep_empty = true;           // what becomes of a record without strategies
};

// Keeps a record whose first listed strategy has no rate, or by chance at its rate; drops one that has others only.
std::unique_ptr<RecordFilter> NewSpecialStrategy(MessageType type, const StrategyConfig& config);

// Sets the first label to that of the record's first listed strategy, if it has one.
std::unique_ptr<RecordChange> NewSpecialStrategyLabel(MessageType type, const StrategyConfig& config);

struct NegativeSampleConfig {
  float drop_rate = 0;
  int64_t label_index = 0;
  float threshold = 0;                   // labels from it on are positive
  std::vector<int64_t> action_priority;  // the first that a record has says the rate
  std::string per_action_drop_rate;      // "action:rate,..."; drop_rate for the others
};

// Keeps positives, and drops negatives by chance. A record without the label throws DataError (kInvalidArgument).
std::unique_ptr<RecordFilter> NewNegativeSample(MessageType type, const NegativeSampleConfig& config);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_SAMPLING_H_
