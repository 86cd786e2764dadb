// SPDX-License-Identifier: Apache-2.0
// Labels of a model with a head a channel (or device, or another field of LineId): a sample trains its own head, and the
// labels of the others are invalid.
#ifndef CC_DATA_HEAD_LABELS_H_
#define CC_DATA_HEAD_LABELS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_step.h"

namespace monolith {
namespace data {

// `config` is "chnid:index,...". The first label moves to the index of the sample's channel; there are as many labels as
// the highest index asks for.
std::unique_ptr<RecordChange> NewScatterLabel(MessageType type, const std::string& config);

struct MultiLabelConfig {
  std::string head_field = "chnid";  // integer or string field of LineId
  std::vector<std::string> heads;    // its values, as text
  std::vector<int64_t> indices;      // the label of each
  int64_t num_labels = 0;            // 0: as many as the highest index asks for
  // The value is the first label, or else what the action says: that of the highest priority, or the first if none is
  // listed. An action of neither kind, or none, makes it invalid.
  bool use_origin_label = false;
  std::vector<int64_t> action_priority, pos_actions, neg_actions;
  float pos_label = 1, neg_label = 0;
};

std::unique_ptr<RecordChange> NewMultiLabelGen(MessageType type, const MultiLabelConfig& config);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_HEAD_LABELS_H_
