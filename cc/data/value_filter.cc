// SPDX-License-Identifier: Apache-2.0
#include "cc/data/value_filter.h"

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "cc/data/config_text.h"
#include "cc/data/example_columns.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

using Kind = LineIdField::Kind;

class ValueFilter : public RecordFilter {
 public:
  ValueFilter(MessageType type, LineIdTest test) : type_(type), test_(std::move(test)) { CheckHasHead(type); }
  bool Keep(std::string_view record, UniformSource*) const override {
    return test_.Holds(RecordHead(type_, record).line_id());
  }

 private:
  const MessageType type_;
  const LineIdTest test_;
};

class AddAction : public RecordChange {
 public:
  AddAction(MessageType type, LineIdTest test, int32_t action) : type_(type), test_(std::move(test)), action_(action) {
    CheckHasHead(type);
  }
  bool Apply(std::string_view record, UniformSource*, std::string* changed) const override {
    if (!test_.Holds(RecordHead(type_, record).line_id())) return false;
    changed->assign(record);
    AppendAction(type_, action_, changed);
    return true;
  }

 private:
  const MessageType type_;
  const LineIdTest test_;
  const int32_t action_;
};

FeatureKind KindOfType(const std::string& field_type) {
  if (field_type == "int64") return kInt64List;
  if (field_type == "float") return kFloatList;
  if (field_type == "double") return kDoubleList;
  if (field_type == "bytes") return kBytesList;
  ThrowBadSetting("field_type is '" + field_type + "'; use int64, float, double or bytes.");
}

// The only value of a list, or nothing.
template <typename T>
std::optional<float> OnlyNumber(std::string_view list, WireType type) {
  size_t count = 0;
  T value = 0;
  ForEachFixed(list, 1, type, [&](const char* values, size_t n) {
    if (n > 0) std::memcpy(&value, values, sizeof(T));
    count += n;
  });
  return count == 1 ? std::optional<float>(static_cast<float>(value)) : std::nullopt;
}

class ColumnValueFilter : public RecordFilter {
 public:
  ColumnValueFilter(const std::string& column, const std::string& field_type, const std::string& op, Operands operands,
                    bool keep_empty)
      : column_(column),
        kind_(KindOfType(field_type)),
        lists_(kind_ == kInt64List && ComparesLists("column '" + column + "'", op)),
        test_("column '" + column + "'", op, ColumnKind(field_type), lists_, std::move(operands)),
        keep_empty_(keep_empty) {}

  bool Keep(std::string_view record, UniformSource*) const override {
    Pieces pieces;
    const FeatureView feature = FindColumn(record, column_, &pieces);
    if (feature.kind != kind_) return keep_empty_;
    const std::string_view list = feature.payload();
    if (kind_ == kInt64List) return KeepInts(list);
    if (kind_ == kBytesList) return KeepText(list);
    const auto value = kind_ == kFloatList ? OnlyNumber<float>(list, kFixed32) : OnlyNumber<double>(list, kFixed64);
    return value ? test_.OfFloat(*value) : keep_empty_;
  }

 private:
  bool KeepInts(std::string_view list) const {
    std::vector<int64_t> values;
    ForEachVarint(list, 1, [&](uint64_t value) { values.push_back(static_cast<int64_t>(value)); });
    if (lists_) return values.empty() ? keep_empty_ : test_.OfList(values);
    return values.size() == 1 ? test_.OfInt(values[0]) : keep_empty_;
  }

  bool KeepText(std::string_view list) const {
    size_t count = 0;
    std::string_view value;
    ForEachBytes(list, 1, [&](std::string_view text) {
      value = text;
      ++count;
    });
    return count == 1 ? test_.OfText(value) : keep_empty_;
  }

  const std::string column_;
  const FeatureKind kind_;
  const bool lists_;
  const ValueTest test_;
  const bool keep_empty_;
};

}  // namespace

ValueKind LineIdKind(const std::string& field_name) {
  const LineIdField& field = LineIdFieldOfSetting("field_name", field_name);
  if (field.kind == Kind::kFloat) return ValueKind::kFloat;
  if (field.kind == Kind::kString) return ValueKind::kText;
  return field.kind == Kind::kFixed64 ? ValueKind::kId : ValueKind::kInt;
}

ValueKind ColumnKind(const std::string& field_type) {
  const FeatureKind kind = KindOfType(field_type);
  if (kind == kInt64List) return ValueKind::kInt;
  return kind == kBytesList ? ValueKind::kText : ValueKind::kFloat;
}

LineIdTest::LineIdTest(const std::string& field_name, const std::string& op, Operands operands, bool keep_empty)
    : field_(LineIdFieldOfSetting("field_name", field_name)),
      test_("field '" + field_name + "'", op, LineIdKind(field_name), field_.repeated, std::move(operands)),
      keep_empty_(keep_empty) {}

bool LineIdTest::Holds(std::string_view line_id) const {
  const LineIdValue value = ReadLineIdField(field_, line_id);
  if (field_.repeated) return value.ints.empty() ? keep_empty_ : test_.OfList(value.ints);
  if (field_.kind == Kind::kFloat) return test_.OfFloat(value.number);
  return field_.kind == Kind::kString ? test_.OfText(value.text) : test_.OfInt(value.ints[0]);
}

std::unique_ptr<RecordFilter> NewValueFilter(MessageType type, LineIdTest test) {
  return std::make_unique<ValueFilter>(type, std::move(test));
}

std::unique_ptr<RecordChange> NewAddAction(MessageType type, LineIdTest test, int32_t action) {
  return std::make_unique<AddAction>(type, std::move(test), action);
}

std::unique_ptr<RecordFilter> NewColumnValueFilter(const std::string& column, const std::string& field_type,
                                                   const std::string& op, Operands operands, bool keep_empty) {
  return std::make_unique<ColumnValueFilter>(column, field_type, op, std::move(operands), keep_empty);
}

}  // namespace data
}  // namespace monolith
