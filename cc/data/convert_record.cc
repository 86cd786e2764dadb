// SPDX-License-Identifier: Apache-2.0
#include "cc/data/convert_record.h"

#include <utility>

namespace monolith {
namespace data {
namespace {

void ToInstance(std::string* element) {
  std::string instance;
  ExampleToInstance(*element, &instance);
  *element = std::move(instance);
}

}  // namespace

bool CanConvert(MessageType input, MessageType output) {
  return input != MessageType::kPlaintext &&
         (output != MessageType::kExampleBatch || input == MessageType::kExampleBatch);
}

bool GivesRows(MessageType input, MessageType output) {
  return input == MessageType::kExampleBatch && output != MessageType::kExampleBatch &&
         output != MessageType::kPlaintext;
}

void ConvertRecord(MessageType input, MessageType output, Pruning pruning, uint32_t source_key, std::string* payload,
                   std::string* element) {
  if (output == MessageType::kPlaintext) {
    *element = std::move(*payload);
    return;
  }
  CheckMessage(input, *payload);
  if (input == MessageType::kExample && ChangesOnReading(*payload, pruning)) {
    ReadExample(*payload, pruning, element);
  } else if (input == MessageType::kInstance && output == MessageType::kExample) {
    InstanceToExample(*payload, element);
  } else {
    *element = std::move(*payload);
  }
  if (input == MessageType::kExample && output == MessageType::kInstance) ToInstance(element);
  if (source_key != 0) SetDataSourceKey(output, source_key, element);
}

void ConvertRow(const BatchRows& rows, int64_t row, MessageType output, uint32_t source_key, std::string* element) {
  rows.Row(row, element);
  if (source_key != 0) SetDataSourceKey(MessageType::kExample, source_key, element);
  if (output == MessageType::kInstance) ToInstance(element);
}

}  // namespace data
}  // namespace monolith
