// SPDX-License-Identifier: Apache-2.0
// Samples that are trained on as often as their actions weigh, where a sample comes again when its actions change.
#ifndef CC_DATA_REWEIGHT_H_
#define CC_DATA_REWEIGHT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_expansion.h"

namespace monolith {
namespace data {

struct ReweightConfig {
  // Of each action: how often a sample with it counts, and its label.
  std::vector<int64_t> actions, weights, labels;
  std::vector<int64_t> action_priority;  // the most important first
};

// Of actions A: rank(A) is the place, from 1, of the best listed one, 1000 without a listed one and 2000 without actions;
// count(A) is the product of the weights (1 if not given) of the best one and of all that are not listed, 0 without actions.
// With P the pre_actions and C the actions of a sample:
//
//   neither has any         one copy, as it is
//   rank(P) <= rank(C)      none: nothing more important has happened
//   else label[0] becomes that of C's best, if it has one, and
//     P's best has none     count(C) copies
//     another label         count(P) + count(C) copies
//     the same label        |count(P) - count(C)| copies, label[0] negated if count(P) is larger
//
// A sample without labels after that is dropped. Throws DataError (kInvalidArgument) for an action that is there twice or a
// negative weight.
std::unique_ptr<RecordExpansion> NewReweight(MessageType type, const ReweightConfig& config);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_REWEIGHT_H_
