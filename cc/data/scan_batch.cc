// SPDX-License-Identifier: Apache-2.0
// The first pass over an ExampleBatch, a unit of work a requested column.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "cc/data/convert.h"
#include "cc/data/data_error.h"
#include "cc/data/row_batch.h"

namespace monolith {
namespace data {
namespace {

// Fields of ExampleBatch and of NamedFeatureList.
enum Field { kColumns = 1, kBatchSize = 3, kName = 1, kFeatures = 2, kType = 3 };
constexpr uint32_t kShared = 1;

struct Head {
  std::string_view name;
  bool shared = false;
};

Head ReadHead(std::string_view column) {
  Head head{std::string_view("", 0), false};
  ProtoReader reader(column);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(kName, kBytes)) {
      head.name = reader.Bytes();
    } else if (tag == MakeTag(kType, kVarint)) {
      head.shared = static_cast<uint32_t>(reader.Varint()) == kShared;
    } else {
      reader.Skip(tag);
    }
  }
  return head;
}

int64_t ReadBatchSize(std::string_view batch) {
  int64_t size = 0;
  ProtoReader reader(batch);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(kBatchSize, kVarint)) {
      size = static_cast<int32_t>(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
  CheckBatchSize(size, batch.size());
  return size;
}

class BatchColumns : public RowBatch {
 public:
  BatchColumns(const ColumnPlan* plan, std::string_view message, int64_t num_rows)
      : RowBatch(plan, num_rows, Order::kByColumn), columns_(plan->size()), pieces_(plan->size() + 3) {
    ProtoReader reader(message);
    while (const uint32_t tag = reader.Tag()) {
      if (tag != MakeTag(kColumns, kBytes)) {
        reader.Skip(tag);
        continue;
      }
      Place(reader.Bytes());
    }
  }

  // The requested columns, then the three special ones.
  int64_t num_scan_units() const override { return static_cast<int64_t>(plan_->size()) + 3; }

  bool IsShared(int column) const override {
    return columns_[column].bytes.data() == nullptr || columns_[column].head.shared;
  }

  void Scan(int64_t unit, const std::vector<ColumnOutput>& outputs) override {
    const auto size = static_cast<int64_t>(plan_->size());
    if (unit >= size) return ScanSpecial(static_cast<int>(unit - size));
    const int column = static_cast<int>(unit);
    const bool is_fids = plan_->columns()[column].type == ValueType::kFids;
    if (columns_[column].bytes.data() != nullptr) {
      ForEachRow(columns_[column], &pieces_[unit], [&](int64_t row, const FeatureView& view) {
        cell(row, column) = view;
        if (is_fids) CountFids(row, column, outputs[column]);
      });
    } else if (is_fids) {
      std::fill_n(outputs[column].splits, num_rows_ + 1, 0);
    }
  }

 private:
  struct Column {
    std::string_view bytes;  // null: not there
    Head head;
  };

  enum Special { kLineId = 0, kLabels = 1, kWeights = 2 };

  void Place(std::string_view column) {
    const Head head = ReadHead(column);
    if (head.name == kLineIdColumn) special_[kLineId] = {column, head};
    if (head.name == kLabelColumn) special_[kLabels] = {column, head};
    if (head.name == kWeightColumn) special_[kWeights] = {column, head};
    const int index = plan_->Find(head.name);
    // The fields come from the special columns.
    if (index < 0 || index == plan_->weight()) return;
    columns_[index] = {column, head};
  }

  template <typename Put>
  void ForEachRow(const Column& column, Pieces* pieces, Put put) {
    const Head& head = column.head;
    int64_t row = 0;
    ForEachBytes(column.bytes, kFeatures, [&](std::string_view feature) {
      const int64_t end = head.shared ? num_rows_ : row + 1;
      if (row >= num_rows_ || (head.shared && row > 0)) {
        ++row;  // one too many, or not looked at
        return;
      }
      FeatureView view;
      view.data = "";  // the column is there
      view.Merge(feature, pieces);
      for (int64_t i = row; i < end; ++i) put(i, view);
      ++row;
    });
    if (head.shared ? row >= 1 : row == num_rows_) return;
    throw DataError(DataError::Code::kInvalidArgument,
                    "column '" + std::string(head.name) + "' of the ExampleBatch has " + std::to_string(row) +
                        " features for batch_size " + std::to_string(num_rows_) +
                        (head.shared ? "; a shared column needs one." : "; it needs one a row, or type SHARED."));
  }

  void ScanSpecial(int which) {
    const Column& column = special_[which];
    const bool wanted =
        which == kLineId ? plan_->needs_line_id() : (which == kLabels ? plan_->label() : plan_->weight()) >= 0;
    if (column.bytes.data() == nullptr || !wanted) return;
    Pieces* pieces = &pieces_[plan_->size() + which];
    ForEachRow(column, pieces, [&](int64_t row, const FeatureView& view) {
      Row& fields = rows_[row];
      if (which == kLineId) {
        fields.line_id = FirstBytes(view);
      } else if (which == kLabels) {
        fields.labels = Floats(view, pieces);
      } else {
        const std::string_view weights = Floats(view, pieces);
        fields.has_weight = true;
        fields.weight = 1;
        if (!weights.empty()) std::memcpy(&fields.weight, weights.data(), 4);
      }
    });
  }

  static std::string_view FirstBytes(const FeatureView& view) {
    std::string_view first;
    if (view.kind == kBytesList) {
      ForEachBytes(view.payload(), 1, [&](std::string_view value) {
        if (first.data() == nullptr) first = value;
      });
    }
    if (first.data() == nullptr || !IsLineId(first)) {
      throw DataError(
          DataError::Code::kFailedPrecondition,
          "Failed to parse the column __LINE_ID__: a row has no bytes_list with a serialized LineId first.");
    }
    return first;
  }

  static std::string_view Floats(const FeatureView& view, Pieces* pieces) {
    std::string_view floats;
    if (view.kind != kFloatList) return floats;
    ForEachFixed(view.payload(), 1, kFixed32, [&](const char* values, size_t n) {
      const std::string_view run(values, 4 * n);
      if (floats.empty()) {
        floats = run;
      } else {
        pieces->push_back(std::string(floats).append(run));
        floats = pieces->back();
      }
    });
    return floats;
  }

  std::vector<Column> columns_;
  Column special_[3];
  std::vector<Pieces> pieces_;  // of each unit
};

}  // namespace

std::unique_ptr<RowBatch> NewExampleBatchBatch(const ColumnPlan* plan, std::string_view message, bool checked) {
  if (!checked) CheckMessage(MessageType::kExampleBatch, message);
  return std::make_unique<BatchColumns>(plan, message, ReadBatchSize(message));
}

}  // namespace data
}  // namespace monolith
