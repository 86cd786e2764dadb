// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CC_DATA_PARSED_H_
#define TESTS_CC_DATA_PARSED_H_

#include <memory>
#include <string>
#include <vector>

#include "cc/data/column_plan.h"
#include "cc/data/row_batch.h"

namespace monolith {
namespace testing {

// A parsed column; which members are filled depends on its type.
struct ParsedColumn {
  std::vector<int64_t> splits, fids, ints;
  std::vector<float> floats;
  std::vector<std::string> strings;
};

// Runs both passes on one thread.
inline std::vector<ParsedColumn> Parsed(const data::ColumnPlan& plan, data::RowBatch* batch) {
  const size_t rows = batch->num_rows();
  std::vector<ParsedColumn> parsed(plan.size());
  std::vector<data::ColumnOutput> outputs(plan.size());
  for (size_t c = 0; c < plan.size(); ++c) {
    const data::ColumnSpec& spec = plan.columns()[c];
    if (spec.type == data::ValueType::kFids) {
      // Something else than what counting and summing leave.
      parsed[c].splits.assign(rows + 1, -7);
      outputs[c].splits = parsed[c].splits.data();
    } else if (spec.type == data::ValueType::kFloat) {
      parsed[c].floats.assign(rows * spec.width, -7);
      outputs[c].floats = parsed[c].floats.data();
    } else if (spec.type == data::ValueType::kInt64) {
      parsed[c].ints.assign(rows * spec.width, -7);
      outputs[c].ints = parsed[c].ints.data();
    } else {
      parsed[c].strings.assign(rows * spec.width, "");
    }
  }
  for (int64_t unit = 0; unit < batch->num_scan_units(); ++unit) batch->Scan(unit, outputs);
  const std::vector<int64_t> totals = batch->FinishScan(outputs);
  for (size_t c = 0; c < plan.size(); ++c) {
    parsed[c].fids.assign(totals[c], -7);
    outputs[c].fids = parsed[c].fids.data();
  }
  batch->Write(0, batch->num_rows(), outputs, [&](int column, int64_t index, std::string_view value) {
    parsed[column].strings.at(index) = std::string(value);
  });
  return parsed;
}

inline std::unique_ptr<data::RowBatch> NewBatch(const data::ColumnPlan& plan,
                                                const std::vector<std::string>& messages) {
  const std::vector<std::string_view> views(messages.begin(), messages.end());
  switch (plan.type()) {
    case data::MessageType::kInstance:
      return data::NewInstanceBatch(&plan, views, false);
    case data::MessageType::kExampleBatch:
      return data::NewExampleBatchBatch(&plan, views.at(0), false);
    default:
      return data::NewExampleRowBatch(&plan, views, false);
  }
}

// The messages must outlive nothing: what comes back holds copies.
inline std::vector<ParsedColumn> Parse(const data::ColumnPlan& plan, const std::vector<std::string>& messages) {
  return Parsed(plan, NewBatch(plan, messages).get());
}

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_DATA_PARSED_H_
