// SPDX-License-Identifier: Apache-2.0
// Which columns a parse asks for, and where in a message each of them is.
#ifndef CC_DATA_COLUMN_PLAN_H_
#define CC_DATA_COLUMN_PLAN_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cc/data/line_id.h"
#include "cc/data/message_check.h"

namespace monolith {
namespace data {

enum class ValueType { kFids, kFloat, kInt64, kBytes };

struct ColumnSpec {
  enum class Origin {
    kColumn,  // a named column
    kV1Slot,  // the fids of one slot of an Instance's flat list
    kLabel,   // the field label
    kWeight,  // the field instance_weight
    kLineId,  // a field of LineId
  };
  std::string name;
  ValueType type = ValueType::kFids;
  int64_t width = -1;  // values a row; -1: ragged, which fids are
  Origin origin = Origin::kColumn;
  int64_t slot = -1;                   // of kV1Slot
  const LineIdField* field = nullptr;  // of kLineId
};

// A dense column of a message, by its name: `label` and `instance_weight` are fields.
ColumnSpec DenseColumn(const std::string& name, ValueType type, int64_t width);
ColumnSpec FidColumn(const std::string& name);
ColumnSpec V1SlotColumn(const std::string& name, int64_t slot);
// Throws DataError (kNotFound) if LineId has no such field, kInvalidArgument if it has another type.
ColumnSpec LineIdColumn(const std::string& name, ValueType type, int64_t width);

class ColumnPlan {
 public:
  // Throws DataError (kInvalidArgument), naming the column, where a request makes no sense for the type of message.
  ColumnPlan(MessageType type, std::vector<ColumnSpec> columns);

  MessageType type() const { return type_; }
  const std::vector<ColumnSpec>& columns() const { return columns_; }
  size_t size() const { return columns_.size(); }
  // Indices of columns, -1 if nobody asks for it.
  int Find(std::string_view name) const;
  int OfV1Slot(uint32_t slot) const { return by_slot_[slot]; }
  int label() const { return label_; }
  int weight() const { return weight_; }
  // Columns that are fields of LineId.
  const std::vector<int>& line_id_columns() const { return line_id_; }
  bool has_v1_slots() const { return has_v1_slots_; }
  bool needs_line_id() const { return !line_id_.empty(); }
  // Whether fids of version 1 in an Instance become version 2: they do if columns of version 2 are asked for as well.
  bool converts_v1() const { return converts_v1_; }

 private:
  void Add(int index);

  MessageType type_;
  std::vector<ColumnSpec> columns_;
  std::unordered_map<std::string_view, int> by_name_;
  std::array<int16_t, 1024> by_slot_;
  std::vector<int> line_id_;
  int label_ = -1, weight_ = -1;
  bool converts_v1_ = false, has_v1_slots_ = false;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_COLUMN_PLAN_H_
