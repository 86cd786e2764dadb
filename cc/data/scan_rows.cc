// SPDX-License-Identifier: Apache-2.0
// The first pass over Instances and Examples, a message a row.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "cc/data/convert.h"
#include "cc/data/data_error.h"
#include "cc/data/fid.h"
#include "cc/data/row_batch.h"

namespace monolith {
namespace data {
namespace {

constexpr int64_t kRowsPerUnit = 64;

// What several fields with the same number make: mostly there is one, which is viewed where it is.
class Joined {
 public:
  explicit Joined(Pieces* pieces) : pieces_(pieces) {}
  void Add(std::string_view piece) {
    if (joined_.empty()) {
      joined_ = piece;
    } else if (!piece.empty()) {
      pieces_->push_back(std::string(joined_).append(piece));
      joined_ = pieces_->back();
    }
  }
  std::string_view get() const { return joined_; }

 private:
  Pieces* const pieces_;
  std::string_view joined_;
};

// Rows of a stream mostly have the same columns in the same order: what stood at a position in the row before is tried
// first.
class ColumnFinder {
 public:
  explicit ColumnFinder(const ColumnPlan& plan) : plan_(plan) {}
  void StartRow() { at_ = 0; }
  int Next(std::string_view name) {
    if (at_ == seen_.size()) seen_.push_back({name, plan_.Find(name)});
    std::pair<std::string_view, int>& seen = seen_[at_++];
    if (seen.first != name) seen = {name, plan_.Find(name)};
    return seen.second;
  }

 private:
  const ColumnPlan& plan_;
  std::vector<std::pair<std::string_view, int>> seen_;  // name, column
  size_t at_ = 0;
};

class MessageRows : public RowBatch {
 public:
  MessageRows(const ColumnPlan* plan, std::vector<std::string_view> messages, bool checked)
      : RowBatch(plan, static_cast<int64_t>(messages.size()), Order::kByRow),
        checked_(checked),
        messages_(std::move(messages)),
        pieces_((num_rows_ + kRowsPerUnit - 1) / kRowsPerUnit) {}

  int64_t num_scan_units() const override { return static_cast<int64_t>(pieces_.size()); }

  void Scan(int64_t unit, const std::vector<ColumnOutput>& outputs) override {
    ColumnFinder finder(*plan_);
    const int64_t end = std::min(num_rows_, (unit + 1) * kRowsPerUnit);
    for (int64_t row = unit * kRowsPerUnit; row < end; ++row) {
      try {
        if (!checked_) CheckMessage(plan_->type(), messages_[row]);
        finder.StartRow();
        ScanRow(row, messages_[row], &finder, &pieces_[unit], outputs);
        for (size_t c = 0; c < plan_->size(); ++c) {
          const ColumnSpec& spec = plan_->columns()[c];
          if (spec.type == ValueType::kFids && spec.origin == ColumnSpec::Origin::kColumn) {
            CountFids(row, static_cast<int>(c), outputs[c]);
          }
        }
      } catch (const DataError& error) {
        throw DataError(error.code(), "row " + std::to_string(row) + ": " + error.what());
      }
    }
  }

 protected:
  virtual void ScanRow(int64_t row, std::string_view message, ColumnFinder* finder, Pieces* pieces,
                       const std::vector<ColumnOutput>& outputs) = 0;

 private:
  const bool checked_;
  const std::vector<std::string_view> messages_;
  std::vector<Pieces> pieces_;  // of each unit
};

class ExampleRows : public MessageRows {
 public:
  using MessageRows::MessageRows;

 private:
  enum Field { kNamedFeature = 1, kLineId = 100, kLabel = 101, kWeight = 102 };

  void ScanRow(int64_t row, std::string_view message, ColumnFinder* finder, Pieces* pieces,
               const std::vector<ColumnOutput>&) override {
    Row& fields = rows_[row];
    Joined line_id(pieces), labels(pieces);
    ProtoReader reader(message);
    while (const uint32_t tag = reader.Tag()) {
      if (tag == MakeTag(kNamedFeature, kBytes)) {
        ScanColumn(row, reader.Bytes(), finder, pieces);
      } else if (tag == MakeTag(kLineId, kBytes)) {
        line_id.Add(reader.Bytes());
      } else if (tag == MakeTag(kLabel, kBytes)) {
        labels.Add(reader.Bytes());
      } else if (tag == MakeTag(kLabel, kFixed32)) {
        const char* label = reader.at();
        reader.Skip(tag);
        labels.Add(std::string_view(label, 4));
      } else if (tag == MakeTag(kWeight, kFixed32)) {
        fields.weight = reader.Fixed<float>();
        fields.has_weight = true;
      } else {
        reader.Skip(tag);
      }
    }
    fields.line_id = line_id.get();
    fields.labels = labels.get();
  }

  void ScanColumn(int64_t row, std::string_view named, ColumnFinder* finder, Pieces* pieces) {
    enum { kName = 1, kFeature = 2 };
    std::string_view name("", 0);
    FeatureView feature;
    feature.data = "";  // the column is there
    ProtoReader reader(named);
    while (const uint32_t tag = reader.Tag()) {
      if (tag == MakeTag(kName, kBytes)) {
        name = reader.Bytes();
      } else if (tag == MakeTag(kFeature, kBytes)) {
        feature.Merge(reader.Bytes(), pieces);
      } else {
        reader.Skip(tag);
      }
    }
    const int column = finder->Next(name);
    if (column >= 0) cell(row, column) = feature;
  }
};

class InstanceRows : public MessageRows {
 public:
  using MessageRows::MessageRows;

 private:
  enum Field { kFid = 1, kLabel = 3, kWeight = 4, kLineId = 5, kFeature = 9 };

  void ScanRow(int64_t row, std::string_view message, ColumnFinder* finder, Pieces* pieces,
               const std::vector<ColumnOutput>& outputs) override {
    Row& fields = rows_[row];
    Joined line_id(pieces), labels(pieces), fids(pieces);
    ProtoReader reader(message);
    while (const uint32_t tag = reader.Tag()) {
      const char* value = reader.at();
      if (tag == MakeTag(kFid, kBytes)) {
        fids.Add(reader.Bytes());
      } else if (tag == MakeTag(kFeature, kBytes)) {
        ScanFeature(row, reader.Bytes(), finder);
      } else if (tag == MakeTag(kLineId, kBytes)) {
        line_id.Add(reader.Bytes());
      } else if (tag == MakeTag(kLabel, kBytes)) {
        labels.Add(reader.Bytes());
      } else if (tag == MakeTag(kWeight, kFixed32)) {
        fields.weight = reader.Fixed<float>();
        fields.has_weight = true;
      } else {
        reader.Skip(tag);
        if (tag == MakeTag(kFid, kFixed64)) fids.Add(std::string_view(value, 8));
        if (tag == MakeTag(kLabel, kFixed32)) labels.Add(std::string_view(value, 4));
      }
    }
    fields.line_id = line_id.get();
    fields.labels = labels.get();
    fields.fids = fids.get();
    if (plan_->has_v1_slots()) CountV1Fids(row, outputs);
  }

  void ScanFeature(int64_t row, std::string_view feature, ColumnFinder* finder) {
    constexpr uint32_t kName = 1;
    std::string_view name("", 0);
    ProtoReader reader(feature);
    while (const uint32_t tag = reader.Tag()) {
      if (tag == MakeTag(kName, kBytes)) {
        name = reader.Bytes();
      } else {
        reader.Skip(tag);
      }
    }
    const int column = finder->Next(name);
    if (column < 0 || plan_->columns()[column].origin != ColumnSpec::Origin::kColumn) return;
    FeatureView& found = cell(row, column);
    found.data = feature.data();
    found.size = static_cast<uint32_t>(feature.size());
  }

  void CountV1Fids(int64_t row, const std::vector<ColumnOutput>& outputs) {
    const std::string_view fids = rows_[row].fids;
    if (fids.size() % 8 != 0) ThrowMalformed();
    for (size_t c = 0; c < outputs.size(); ++c) {
      if (plan_->columns()[c].origin == ColumnSpec::Origin::kV1Slot) outputs[c].splits[row + 1] = 0;
    }
    for (size_t i = 0; i < fids.size(); i += 8) {
      uint64_t fid;
      std::memcpy(&fid, fids.data() + i, 8);
      const int column = plan_->OfV1Slot(V1Slot(fid));
      if (column >= 0) ++outputs[column].splits[row + 1];
    }
  }
};

}  // namespace

std::unique_ptr<RowBatch> NewInstanceBatch(const ColumnPlan* plan, std::vector<std::string_view> messages,
                                           bool checked) {
  return std::make_unique<InstanceRows>(plan, std::move(messages), checked);
}

std::unique_ptr<RowBatch> NewExampleRowBatch(const ColumnPlan* plan, std::vector<std::string_view> messages,
                                             bool checked) {
  return std::make_unique<ExampleRows>(plan, std::move(messages), checked);
}

}  // namespace data
}  // namespace monolith
