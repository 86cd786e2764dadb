// SPDX-License-Identifier: Apache-2.0
// Labels of several tasks, made from a sample's actions.
#ifndef CC_DATA_LABEL_TASKS_H_
#define CC_DATA_LABEL_TASKS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_step.h"

namespace monolith {
namespace data {

struct LabelTask {
  std::vector<int32_t> pos_actions;
  std::vector<int32_t> neg_actions;  // empty: whoever is not positive is negative
  float sample_rate = 1;             // of the negatives
};

// Reads "pos,..:neg,..:rate;..."; throws DataError (kInvalidArgument).
std::vector<LabelTask> ReadLabelTasks(const std::string& config);

// Appends a label a task: 1 with a positive action, the invalid label where there are negative actions and the sample has
// none of them, else `negative_value` at the task's rate and the invalid label otherwise. A first label of at most 0 that
// is there already becomes invalid, and the LineId's sample_rate becomes `new_sample_rate`, which must be in (0, 1].
std::unique_ptr<RecordChange> NewAddLabel(MessageType type, std::vector<LabelTask> tasks, float negative_value,
                                          float new_sample_rate);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_LABEL_TASKS_H_
