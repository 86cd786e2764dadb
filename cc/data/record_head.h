// SPDX-License-Identifier: Apache-2.0
// What filters and label ops read of an Instance or an Example, and the changes that they make to it. The records must be
// valid messages (CheckMessage). A changed record is a new message; what a change is not about is copied byte for byte,
// unknown fields included.
#ifndef CC_DATA_RECORD_HEAD_H_
#define CC_DATA_RECORD_HEAD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cc/data/line_id.h"
#include "cc/data/message_check.h"

namespace monolith {
namespace data {

// Throws DataError (kInvalidArgument) unless records of this type have labels and a LineId: Instances and Examples do.
void CheckHasHead(MessageType type);

// Labels and LineId, read in one pass.
class RecordHead {
 public:
  RecordHead(MessageType type, std::string_view record);

  const std::vector<float>& labels() const { return labels_; }
  // All pieces of it as one message; empty if there is none. A view of the record or of this object.
  std::string_view line_id() const { return line_id_; }
  // The values of a repeated integer field, such as `actions`.
  std::vector<int64_t> Ints(const char* field) const;

 private:
  std::vector<float> labels_;
  std::string_view line_id_;
  std::string merged_;  // where the record has more than one piece
};

// Appends labels, in one packed field.
void PutLabels(MessageType type, const std::vector<float>& labels, std::string* record);

// The record with these labels instead of its own.
std::string WithLabels(MessageType type, std::string_view record, const std::vector<float>& labels);

// Field numbers of an Instance or an Example.
uint32_t LabelField(MessageType type);
uint32_t LineIdNumber(MessageType type);
uint32_t WeightField(MessageType type);

// A LineId with another item_id and, where there are any, other actions; the rest stays.
std::string WithItem(std::string_view line_id, uint64_t item_id, const std::vector<int32_t>& actions);

// Adds to the record's LineId: one more piece of it at the end, which readers merge with what is there.
void AppendAction(MessageType type, int32_t action, std::string* record);
void AppendSampleRate(MessageType type, float sample_rate, std::string* record);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_RECORD_HEAD_H_
