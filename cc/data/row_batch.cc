// SPDX-License-Identifier: Apache-2.0
#include "cc/data/row_batch.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "cc/data/column_values.h"
#include "cc/data/convert.h"
#include "cc/data/data_error.h"
#include "cc/data/fid.h"
#include "cc/data/line_id_values.h"

namespace monolith {
namespace data {

RowBatch::RowBatch(const ColumnPlan* plan, int64_t num_rows, Order order)
    : plan_(plan),
      num_rows_(num_rows),
      rows_(num_rows),
      row_stride_(order == Order::kByRow ? static_cast<int64_t>(plan->size()) : 1),
      column_stride_(order == Order::kByRow ? 1 : num_rows),
      cells_(num_rows * plan->size()) {}

void RowBatch::CountFids(int64_t row, int column, const ColumnOutput& output) {
  const FeatureView& feature = cell(row, column);
  const ColumnSpec& spec = plan_->columns()[column];
  if (plan_->type() == MessageType::kInstance) {
    output.splits[row + 1] = CountInstanceFids(feature.payload());
    return;
  }
  output.splits[row + 1] = CountExampleFids(spec, feature);
  if (feature.kind == kFidV1Lists || feature.kind == kFidV2Lists) skipped_sequence_ = &spec.name;
}

std::vector<int64_t> RowBatch::FinishScan(const std::vector<ColumnOutput>& outputs) const {
  std::vector<int64_t> totals(outputs.size(), 0);
  for (size_t c = 0; c < outputs.size(); ++c) {
    int64_t* splits = outputs[c].splits;
    if (splits == nullptr) continue;
    splits[0] = 0;
    for (int64_t row = 0; row < num_rows_; ++row) splits[row + 1] += splits[row];
    totals[c] = splits[num_rows_];
  }
  return totals;
}

namespace {

// One column of one row, its cell being the Feature of an Instance or the member of an Example's.
void WriteCell(const ColumnSpec& spec, bool instance, const FeatureView& cell, int64_t row, const ColumnOutput& output,
               const PutValue& put) {
  switch (spec.type) {
    case ValueType::kFids:
      if (instance) return WriteInstanceFids(cell.payload(), output.fids + output.splits[row]);
      return WriteExampleFids(cell, output.fids + output.splits[row]);
    case ValueType::kFloat:
      if (instance) return WriteInstanceFloats(spec, cell.payload(), output.floats + row * spec.width);
      return WriteExampleFloats(spec, cell, output.floats + row * spec.width);
    case ValueType::kInt64:
      if (instance) return WriteInstanceInts(spec, cell.payload(), output.ints + row * spec.width);
      return WriteExampleInts(spec, cell, output.ints + row * spec.width);
    case ValueType::kBytes:
      if (instance) return WriteInstanceBytes(spec, cell.payload(), put);
      return WriteExampleBytes(spec, cell, put);
  }
}

void WriteAbsent(const ColumnSpec& spec, int64_t row, const ColumnOutput& output) {
  if (output.floats != nullptr) std::fill_n(output.floats + row * spec.width, spec.width, 0.0f);
  if (output.ints != nullptr) std::fill_n(output.ints + row * spec.width, spec.width, 0);
}

}  // namespace

void RowBatch::Write(int64_t begin, int64_t end, const std::vector<ColumnOutput>& outputs,
                     const PutBytes& put_bytes) const {
  int64_t row = begin;
  try {
    for (size_t c = 0; c < plan_->size(); ++c) {
      const ColumnSpec::Origin origin = plan_->columns()[c].origin;
      if (origin == ColumnSpec::Origin::kLineId || origin == ColumnSpec::Origin::kV1Slot) continue;
      for (row = begin; row < end; ++row) WriteColumn(static_cast<int>(c), row, outputs[c], put_bytes);
    }
    std::vector<int64_t> at(outputs.size());
    for (row = begin; row < end; ++row) {
      if (plan_->has_v1_slots()) WriteV1Fids(row, outputs, &at);
      if (plan_->needs_line_id()) WriteLineIdColumns(*plan_, rows_[row].line_id, row, outputs, put_bytes);
    }
  } catch (const DataError& error) {
    throw DataError(error.code(), "row " + std::to_string(row) + ": " + error.what());
  }
}

void RowBatch::WriteColumn(int column, int64_t row, const ColumnOutput& output, const PutBytes& put_bytes) const {
  const ColumnSpec& spec = plan_->columns()[column];
  const FeatureView& value = cell(row, column);
  // data is set for a column that is there, however empty it is.
  if (value.data != nullptr) {
    const bool instance = plan_->type() == MessageType::kInstance;
    if (spec.type != ValueType::kBytes) {
      static const PutValue* const nowhere = new PutValue();
      WriteCell(spec, instance, value, row, output, *nowhere);
    } else {
      WriteCell(spec, instance, value, row, output,
                [&](int64_t i, std::string_view bytes) { put_bytes(column, row * spec.width + i, bytes); });
    }
  } else if (spec.origin == ColumnSpec::Origin::kLabel) {
    WriteLabel(row, output);
  } else if (spec.origin == ColumnSpec::Origin::kWeight) {
    WriteWeight(row, output);
  } else {
    WriteAbsent(spec, row, output);
  }
}

void RowBatch::WriteV1Fids(int64_t row, const std::vector<ColumnOutput>& outputs, std::vector<int64_t>* at) const {
  const std::string_view fids = rows_[row].fids;
  std::fill(at->begin(), at->end(), 0);
  for (size_t i = 0; i < fids.size(); i += 8) {
    uint64_t fid;
    std::memcpy(&fid, fids.data() + i, 8);
    const int column = plan_->OfV1Slot(V1Slot(fid));
    if (column < 0) continue;
    const ColumnOutput& output = outputs[column];
    output.fids[output.splits[row] + (*at)[column]++] = static_cast<int64_t>(plan_->converts_v1() ? V1ToV2(fid) : fid);
  }
}

void RowBatch::WriteLabel(int64_t row, const ColumnOutput& output) const {
  const int64_t width = plan_->columns()[plan_->label()].width;
  float* out = output.floats + row * width;
  std::fill_n(out, width, plan_->type() == MessageType::kInstance ? 0.0f : kInvalidLabel);
  CopyFloats(rows_[row].labels, width, out);
}

void RowBatch::WriteWeight(int64_t row, const ColumnOutput& output) const {
  const Row& from = rows_[row];
  float weight = from.weight;
  switch (plan_->type()) {
    case MessageType::kInstance:
      if (!from.has_weight) weight = 1;
      break;
    case MessageType::kExampleBatch:
      if (from.has_weight && weight <= 0) weight = 1;
      break;
    default:
      if (weight <= 0) weight = 1;
  }
  output.floats[row] = weight;
}

}  // namespace data
}  // namespace monolith
