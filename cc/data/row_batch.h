// SPDX-License-Identifier: Apache-2.0
// From serialized messages to columns, in two passes over rows that threads divide among themselves:
//
//   1. Scan finds every requested column in every row as a view of the bytes, and counts the fids of ragged ones, which
//      gives the sizes of the outputs;
//   2. Write copies values to where they belong.
//
// No message object is built, and a value is copied once.
#ifndef CC_DATA_ROW_BATCH_H_
#define CC_DATA_ROW_BATCH_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "cc/data/column_plan.h"
#include "cc/data/feature_view.h"

namespace monolith {
namespace data {

// Where one column goes; which of the pointers is used depends on its type.
struct ColumnOutput {
  int64_t* splits = nullptr;  // [rows + 1], of fids
  int64_t* fids = nullptr;
  float* floats = nullptr;  // [rows, width]
  int64_t* ints = nullptr;  // [rows, width]
};
// Called for the strings of a column; those that it is not called for are empty.
using PutBytes = std::function<void(int column, int64_t index, std::string_view value)>;

class RowBatch {
 public:
  virtual ~RowBatch() = default;

  int64_t num_rows() const { return num_rows_; }
  // Units of work of Scan, which may run at the same time.
  virtual int64_t num_scan_units() const = 0;
  // Fills splits[row + 1] of ragged columns with the number of fids of the row.
  virtual void Scan(int64_t unit, const std::vector<ColumnOutput>& outputs) = 0;
  // Turns counts into splits; returns how many fids each column has.
  std::vector<int64_t> FinishScan(const std::vector<ColumnOutput>& outputs) const;
  // Writes all columns of rows [begin, end).
  void Write(int64_t begin, int64_t end, const std::vector<ColumnOutput>& outputs, const PutBytes& put_bytes) const;

  // Whether a column has the same value in every row of the batch: it is shared by them, or missing altogether.
  virtual bool IsShared(int /*column*/) const { return false; }

  // A sparse column that was a sequence (fid_v1_lists, fid_v2_lists) and is taken as empty; null if there was none.
  const std::string* skipped_sequence() const { return skipped_sequence_; }

 protected:
  // What a row has beside its columns. Lists are values back to back.
  struct Row {
    std::string_view line_id;  // serialized, perhaps in pieces put together
    std::string_view fids;     // of version 1, eight bytes each
    std::string_view labels;   // floats
    float weight = 0;
    bool has_weight = false;
  };

  // Cells lie row by row or column by column, as they are scanned.
  enum class Order { kByRow, kByColumn };

  RowBatch(const ColumnPlan* plan, int64_t num_rows, Order order);
  FeatureView& cell(int64_t row, int64_t column) { return cells_[row * row_stride_ + column * column_stride_]; }
  const FeatureView& cell(int64_t row, int64_t column) const {
    return cells_[row * row_stride_ + column * column_stride_];
  }
  void CountFids(int64_t row, int column, const ColumnOutput& output);

  const ColumnPlan* const plan_;
  int64_t num_rows_;
  std::vector<Row> rows_;
  const int64_t row_stride_, column_stride_;
  std::vector<FeatureView> cells_;
  std::atomic<const std::string*> skipped_sequence_{nullptr};

 private:
  void WriteColumn(int column, int64_t row, const ColumnOutput& output, const PutBytes& put_bytes) const;
  void WriteV1Fids(int64_t row, const std::vector<ColumnOutput>& outputs, std::vector<int64_t>* at) const;
  void WriteLabel(int64_t row, const ColumnOutput& output) const;
  void WriteWeight(int64_t row, const ColumnOutput& output) const;
};

// `checked`: the messages are known to be valid ones of their type; else they are checked while they are scanned.
std::unique_ptr<RowBatch> NewInstanceBatch(const ColumnPlan* plan, std::vector<std::string_view> messages,
                                           bool checked);
std::unique_ptr<RowBatch> NewExampleRowBatch(const ColumnPlan* plan, std::vector<std::string_view> messages,
                                             bool checked);
// An ExampleBatch: its rows are those of its columns.
std::unique_ptr<RowBatch> NewExampleBatchBatch(const ColumnPlan* plan, std::string_view message, bool checked);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_ROW_BATCH_H_
