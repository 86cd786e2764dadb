// SPDX-License-Identifier: Apache-2.0
// Negatives for every positive: its user's side with the item's side of a sample that was seen before.
#ifndef CC_DATA_NEGATIVE_GEN_H_
#define CC_DATA_NEGATIVE_GEN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/data/item_pool.h"
#include "cc/data/message_check.h"
#include "cc/data/record_expansion.h"

namespace monolith {
namespace data {

struct NegativeGenConfig {
  static constexpr int64_t kKeepActions = -99999;

  int64_t neg_num = 0;  // negatives for a positive, at most
  // Items of all samples are in one channel, or in that of the first fid of a feature. Features of an Instance are slots
  // of its field `fid`, those of an Example columns.
  bool per_channel = false;
  std::string channel_feature;
  std::vector<std::string> item_features;
  std::string index_feature;  // its first fid is the item's id; empty: LineId's item_id
  // A positive is a sample whose action (of the highest priority, or else the first) is one of these, or where there are
  // none, whose label is positive_label.
  std::vector<int64_t> positive_actions, action_priority;
  int64_t label_index = 0;
  float positive_label = 1, negative_label = -1;
  int64_t negative_action = kKeepActions;
  // Which items enter the pool: of positives, and unless cache_only_pos of all, and with one of some actions; of negatives
  // by chance.
  bool cache_only_pos = true;
  std::vector<int64_t> cache_negative_actions;
  float origin_neg_in_pool_proba = 1;
  bool throw_origin = false, throw_origin_neg = false;
  float real_neg_instance_weight = 1;
  // Weight of a negative: this, if above 1e-5; else, if unbiased, 1 + neg_num ((index + 1) / size)^decay / times drawn; else
  // 1.
  float sampled_neg_instance_weight = -1;
  bool unbias_sampled_neg = true;
  float neg_sample_decay_factor = 1;
  float easy_hard_ratio = 0;  // how often a negative comes from another channel, which is drawn by size
};

// A positive's item enters the pool before negatives are drawn, and they come before it. Throws DataError
// (kInvalidArgument) for settings that contradict each other.
std::unique_ptr<RecordExpansion> NewNegativeGen(MessageType type, const NegativeGenConfig& config,
                                                std::shared_ptr<ItemPool> pool);

// The same without a pool: whether the settings can be.
void CheckNegativeGen(MessageType type, const NegativeGenConfig& config);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_NEGATIVE_GEN_H_
