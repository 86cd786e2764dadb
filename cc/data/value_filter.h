// SPDX-License-Identifier: Apache-2.0
// Tests of one value of a record: a field of its LineId, or a column of an Example.
#ifndef CC_DATA_VALUE_FILTER_H_
#define CC_DATA_VALUE_FILTER_H_

#include <memory>
#include <string>
#include <string_view>

#include "cc/data/comparison.h"
#include "cc/data/line_id.h"
#include "cc/data/message_check.h"
#include "cc/data/record_step.h"

namespace monolith {
namespace data {

// The kind of a LineId's field, which operands must have. Throws DataError (kInvalidArgument) if there is no such field.
ValueKind LineIdKind(const std::string& field_name);

// The kind of an Example's column by field_type: int64, float, double or bytes.
ValueKind ColumnKind(const std::string& field_type);

class LineIdTest {
 public:
  // `keep_empty` is the outcome for a repeated field without values. Fields that are not repeated have a default.
  LineIdTest(const std::string& field_name, const std::string& op, Operands operands, bool keep_empty);
  bool Holds(std::string_view line_id) const;

 private:
  const LineIdField& field_;
  const ValueTest test_;
  const bool keep_empty_;
};

std::unique_ptr<RecordFilter> NewValueFilter(MessageType type, LineIdTest test);

// Appends an action to records for which the test holds.
std::unique_ptr<RecordChange> NewAddAction(MessageType type, LineIdTest test, int32_t action);

// Of an Example's column: its only value, or with any, all and diff its list of integers. `keep_empty` is the outcome where
// there is no such column, it is of another kind, or has not one value (a list: none). Doubles are compared as floats,
// which operands are.
std::unique_ptr<RecordFilter> NewColumnValueFilter(const std::string& column, const std::string& field_type,
                                                   const std::string& op, Operands operands, bool keep_empty);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_VALUE_FILTER_H_
