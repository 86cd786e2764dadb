// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_LINE_ID_VALUES_H_
#define CC_DATA_LINE_ID_VALUES_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "cc/data/column_plan.h"
#include "cc/data/row_batch.h"

namespace monolith {
namespace data {

// Writes the requested fields of one row's LineId, defaults where it has none. Repeated fields are cut or filled up with
// zeros to the width.
void WriteLineIdColumns(const ColumnPlan& plan, std::string_view line_id, int64_t row,
                        const std::vector<ColumnOutput>& outputs, const PutBytes& put_bytes);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_LINE_ID_VALUES_H_
