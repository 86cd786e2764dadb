// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_LABEL_FILTER_H_
#define CC_DATA_LABEL_FILTER_H_

#include <memory>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_step.h"

namespace monolith {
namespace data {

// Keeps records with some label above the threshold of its place, or equal to it unless `filter_equal`. Fewer labels than
// thresholds are dropped.
std::unique_ptr<RecordFilter> NewLabelFilter(MessageType type, std::vector<float> thresholds, bool filter_equal);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_LABEL_FILTER_H_
