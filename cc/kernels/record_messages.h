// SPDX-License-Identifier: Apache-2.0
// The messages that a tensor of records holds.
#ifndef CC_KERNELS_RECORD_MESSAGES_H_
#define CC_KERNELS_RECORD_MESSAGES_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cc/data/message_check.h"
#include "cc/data/row_batch.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {

// The messages of one call.
struct RecordMessages {
  std::vector<std::string> read;  // what was made of strings
  std::vector<std::string_view> views;
};

// Reads `input`, variants or strings: a vector of Instances or Examples, or one ExampleBatch.
absl::Status ReadRecordMessages(::tensorflow::OpKernelContext* ctx, data::MessageType type,
                                const ::tensorflow::Tensor& input, RecordMessages* messages);

// The rows of messages that were read. Throws DataError.
std::unique_ptr<data::RowBatch> NewRowBatch(data::MessageType type, const data::ColumnPlan* plan,
                                            const RecordMessages& messages);

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_MESSAGES_H_
