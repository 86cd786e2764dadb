// SPDX-License-Identifier: Apache-2.0
#include "cc/data/column_plan.h"

#include <limits>
#include <utility>

#include "cc/data/data_error.h"
#include "cc/data/fid.h"

namespace monolith {
namespace data {
namespace {

[[noreturn]] void ThrowBad(const ColumnSpec& column, const std::string& what) {
  throw DataError(DataError::Code::kInvalidArgument, "column '" + column.name + "': " + what);
}

void CheckColumn(MessageType type, const ColumnSpec& column) {
  if (column.type != ValueType::kFids && column.width < 1) {
    ThrowBad(column, "its shape is " + std::to_string(column.width) + "; a dense column has at least one value a row.");
  }
  const bool is_field = column.origin == ColumnSpec::Origin::kLabel || column.origin == ColumnSpec::Origin::kWeight;
  if (is_field && column.type != ValueType::kFloat) ThrowBad(column, "it is a float32 field; ask for tf.float32.");
  if (column.origin == ColumnSpec::Origin::kWeight && column.width != 1) {
    ThrowBad(column, "its shape is " + std::to_string(column.width) + "; a row has one instance weight.");
  }
  const bool is_row_of_bytes = column.type == ValueType::kBytes && column.origin == ColumnSpec::Origin::kColumn;
  if (is_row_of_bytes && type != MessageType::kInstance && column.width != 1) {
    ThrowBad(column,
             "its shape is " + std::to_string(column.width) + "; a string column of an Example has one value a row.");
  }
}

}  // namespace

ColumnSpec DenseColumn(const std::string& name, ValueType type, int64_t width) {
  ColumnSpec column;
  column.name = name;
  column.type = type;
  column.width = width;
  if (name == "label") column.origin = ColumnSpec::Origin::kLabel;
  if (name == "instance_weight") column.origin = ColumnSpec::Origin::kWeight;
  return column;
}

ColumnSpec FidColumn(const std::string& name) {
  ColumnSpec column;
  column.name = name;
  return column;
}

ColumnSpec V1SlotColumn(const std::string& name, int64_t slot) {
  ColumnSpec column;
  column.name = name;
  column.origin = ColumnSpec::Origin::kV1Slot;
  column.slot = slot;
  return column;
}

ColumnSpec LineIdColumn(const std::string& name, ValueType type, int64_t width) {
  ColumnSpec column;
  column.name = name;
  column.type = type;
  column.width = width;
  column.origin = ColumnSpec::Origin::kLineId;
  column.field = &FindLineIdField(name);
  const ValueType expected = column.field->is_int()                            ? ValueType::kInt64
                             : column.field->kind == LineIdField::Kind::kFloat ? ValueType::kFloat
                                                                               : ValueType::kBytes;
  if (type != expected) {
    ThrowBad(column, "LineId has it as int64, float32 or string; ask for the type that it has there.");
  }
  return column;
}

ColumnPlan::ColumnPlan(MessageType type, std::vector<ColumnSpec> columns) : type_(type), columns_(std::move(columns)) {
  by_slot_.fill(-1);
  if (columns_.size() > static_cast<size_t>(std::numeric_limits<int16_t>::max())) {
    throw DataError(DataError::Code::kInvalidArgument,
                    std::to_string(columns_.size()) + " columns; ask for fewer than 32768.");
  }
  for (size_t i = 0; i < columns_.size(); ++i) {
    CheckColumn(type, columns_[i]);
    Add(static_cast<int>(i));
  }
}

void ColumnPlan::Add(int index) {
  const ColumnSpec& column = columns_[index];
  const auto claim = [&](auto& place) {
    if (place >= 0) ThrowBad(column, "it is asked for twice.");
    place = static_cast<std::decay_t<decltype(place)>>(index);
  };
  switch (column.origin) {
    case ColumnSpec::Origin::kLineId:
      return line_id_.push_back(index);
    case ColumnSpec::Origin::kV1Slot:
      if (column.slot < 0 || column.slot >= 1 << kV1SlotBits) {
        ThrowBad(column, "slot " + std::to_string(column.slot) + " is not in [0, 1024), which fids of version 1 have.");
      }
      has_v1_slots_ = true;
      return claim(by_slot_[column.slot]);
    case ColumnSpec::Origin::kLabel:
      claim(label_);
      break;
    case ColumnSpec::Origin::kWeight:
      claim(weight_);
      break;
    case ColumnSpec::Origin::kColumn:
      converts_v1_ = converts_v1_ || column.type == ValueType::kFids;
      break;
  }
  if (!by_name_.emplace(column.name, index).second) ThrowBad(column, "it is asked for twice.");
}

int ColumnPlan::Find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? -1 : it->second;
}

}  // namespace data
}  // namespace monolith
