// SPDX-License-Identifier: Apache-2.0
// Changes of the values of labels.
#ifndef CC_DATA_LABEL_VALUES_H_
#define CC_DATA_LABEL_VALUES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_step.h"

namespace monolith {
namespace data {

// Cuts the first labels down to their bounds. A record with fewer labels stays as it is.
std::unique_ptr<RecordChange> NewLabelUpperBound(MessageType type, std::vector<float> bounds);

// Every valid label x goes through all methods with their values v: log ln(max(x + v, 0)), scale x / v, scale2int x / v
// without its fraction, pow (x + 1)^v, repow x^v or 0 for x <= 0, scalelog ln(max(x / v + 1, 0)).
std::unique_ptr<RecordChange> NewLabelNormalization(MessageType type, const std::vector<std::string>& methods,
                                                    const std::vector<float>& values);

// What FillMultiRankOutput appends as a label.
enum class RankSource { kDraw, kChannel, kLineIdRank };
std::unique_ptr<RecordChange> NewFillMultiRankOutput(MessageType type, RankSource source, int64_t num_ranks);

// Every label becomes the larger of itself and the LineId's field; with `overwrite_invalid`, values from `threshold` on
// count as 0.
std::unique_ptr<RecordChange> NewUseFieldAsLabel(MessageType type, const std::string& field_name,
                                                 bool overwrite_invalid, float threshold);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_LABEL_VALUES_H_
