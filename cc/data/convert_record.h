// SPDX-License-Identifier: Apache-2.0
// A record of a stream as an element of another type.
#ifndef CC_DATA_CONVERT_RECORD_H_
#define CC_DATA_CONVERT_RECORD_H_

#include <cstdint>
#include <string>

#include "cc/data/convert.h"
#include "cc/data/message_check.h"

namespace monolith {
namespace data {

// Whether records of one type become elements of another: Instances and Examples do both ways, an ExampleBatch gives them
// row by row, and only an ExampleBatch stays one. What becomes plaintext is not looked at.
bool CanConvert(MessageType input, MessageType output);

// Whether a record gives an element a row.
bool GivesRows(MessageType input, MessageType output);

// The element of a record that gives one. `payload` is left empty or as it was. A key other than 0 becomes the element's
// data_source_key. Throws DataError where the payload is no message of its type.
void ConvertRecord(MessageType input, MessageType output, Pruning pruning, uint32_t source_key, std::string* payload,
                   std::string* element);

// The same of one row of a batch: an Example or an Instance.
void ConvertRow(const BatchRows& rows, int64_t row, MessageType output, uint32_t source_key, std::string* element);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_CONVERT_RECORD_H_
