// SPDX-License-Identifier: Apache-2.0
// The two sides of a sample: what describes its item, and the rest.
#ifndef CC_DATA_RECORD_SIDES_H_
#define CC_DATA_RECORD_SIDES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "cc/data/item_pool.h"
#include "cc/data/message_check.h"

namespace monolith {
namespace data {

// Features of an Instance are slots of its field `fid`, as text; those of an Example are columns.
class RecordSides {
 public:
  // Throws DataError (kInvalidArgument) where a feature of an Instance is no slot, naming `item_features`.
  RecordSides(MessageType type, const std::vector<std::string>& item_features);

  ItemFeatures Item(std::string_view record) const;

  // The record with another item: an Instance with all but its item's fids and its LineId, label and weight, an Example
  // with its other columns alone. The item's features follow.
  std::string WithItem(std::string_view record, const ItemFeatures& item) const;

  // The first fid of a feature, as the record has it.
  std::optional<uint64_t> FirstFid(std::string_view record, const std::string& feature) const;

 private:
  static uint32_t Slot(const std::string& feature);

  const MessageType type_;
  std::unordered_set<uint32_t> slots_;
  std::unordered_set<std::string> columns_;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_RECORD_SIDES_H_
