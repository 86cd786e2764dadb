// SPDX-License-Identifier: Apache-2.0
#include "cc/data/comparison.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>

#include "cc/data/config_text.h"
#include "cc/data/data_error.h"
#include "cc/data/feature_view.h"

namespace monolith {
namespace data {
namespace {

using Op = ValueTest::Op;

struct NamedOp {
  const char* name;
  Op op;
};

constexpr NamedOp kOps[] = {{"gt", Op::kGt},
                            {"ge", Op::kGe},
                            {"eq", Op::kEq},
                            {"lt", Op::kLt},
                            {"le", Op::kLe},
                            {"neq", Op::kNeq},
                            {"between", Op::kBetween},
                            {"in", Op::kIn},
                            {"not-in", Op::kNotIn},
                            {"startswith", Op::kStartsWith},
                            {"endswith", Op::kEndsWith},
                            {"any", Op::kAny},
                            {"all", Op::kAll},
                            {"diff", Op::kDiff}};

bool IsListOp(Op op) { return op >= Op::kAny; }
bool IsTextOp(Op op) { return op == Op::kStartsWith || op == Op::kEndsWith; }
bool IsSet(Op op) { return op == Op::kIn || op == Op::kNotIn || IsListOp(op); }

Op OpNamed(const std::string& subject, const std::string& name) {
  std::string known;
  for (const NamedOp& op : kOps) {
    if (name == op.name) return op.op;
    known += (known.empty() ? "" : ", ") + std::string(op.name);
  }
  ThrowBadSetting("op is '" + name + "', for " + subject + "; use one of " + known + ".");
}

const char* NameOf(ValueKind kind) {
  if (kind == ValueKind::kFloat) return "float";
  return kind == ValueKind::kText ? "string" : "int";
}

void CheckKinds(const std::string& subject, const std::string& name, Op op, ValueKind kind, bool lists) {
  if (IsListOp(op) != lists) {
    ThrowBadSetting("op is '" + name + "', but " + subject +
                    (lists ? " is a list of integers; use any, all or diff."
                           : " is a single value; any, all and diff "
                             "compare lists of integers."));
  }
  if (IsTextOp(op) && kind != ValueKind::kText) {
    ThrowBadSetting("op is '" + name + "', but " + subject + " is no string; compare numbers by another op.");
  }
}

void CheckOperands(const std::string& subject, const std::string& name, Op op, ValueKind kind,
                   const Operands& operands) {
  const size_t n = kind == ValueKind::kFloat  ? operands.floats.size()
                   : kind == ValueKind::kText ? operands.texts.size()
                                              : operands.ints.size();
  const size_t others = operands.floats.size() + operands.ints.size() + operands.texts.size() - n;
  const std::string what = subject + " is compared by '" + name + "' with " + std::to_string(n + others) + " operands";
  if (others > 0)
    ThrowBadSetting(what + ", of which " + std::to_string(others) + " are no " + NameOf(kind) + "_operand.");
  const bool any_number = IsSet(op) || IsTextOp(op);
  const size_t needed = op == Op::kBetween ? 2 : 1;
  if (any_number ? n == 0 : n != needed) {
    ThrowBadSetting(what + "; give " + (any_number ? "at least one" : std::to_string(needed)) + ".");
  }
  for (const float operand : operands.floats) {
    if (std::isnan(operand)) ThrowBadSetting(what + ", one of which is NaN; NaN compares with nothing.");
  }
}

template <typename T>
void SortOnce(std::vector<T>* values) {
  std::sort(values->begin(), values->end());
  values->erase(std::unique(values->begin(), values->end()), values->end());
}

template <typename T, typename Operand>
bool Compare(Op op, const T& value, const std::vector<Operand>& operands) {
  const auto operand = [&](size_t i) { return static_cast<T>(operands[i]); };
  switch (op) {
    case Op::kGt:
      return value > operand(0);
    case Op::kGe:
      return value >= operand(0);
    case Op::kEq:
      return value == operand(0);
    case Op::kLt:
      return value < operand(0);
    case Op::kLe:
      return value <= operand(0);
    case Op::kNeq:
      return value != operand(0);
    case Op::kBetween:
      return value >= operand(0) && value < operand(1);
    default:
      return false;
  }
}

// Operands of sets are in the order of their own type.
template <typename Operand, typename T>
bool IsIn(const std::vector<Operand>& sorted, const T& value) {
  return std::binary_search(sorted.begin(), sorted.end(), value, std::less<>());
}

}  // namespace

ValueTest::ValueTest(const std::string& subject, const std::string& op, ValueKind kind, bool lists, Operands operands)
    : op_(OpNamed(subject, op)), kind_(kind), operands_(std::move(operands)) {
  CheckKinds(subject, op, op_, kind, lists);
  CheckOperands(subject, op, op_, kind, operands_);
  if (!IsSet(op_)) return;
  SortOnce(&operands_.floats);
  SortOnce(&operands_.ints);
  SortOnce(&operands_.texts);
}

bool ValueTest::OfInt(int64_t value) const {
  if (IsSet(op_)) return IsIn(operands_.ints, value) == (op_ == Op::kIn);
  return kind_ == ValueKind::kId ? Compare(op_, static_cast<uint64_t>(value), operands_.ints)
                                 : Compare(op_, value, operands_.ints);
}

bool ValueTest::OfFloat(float value) const {
  if (IsSet(op_)) return (!std::isnan(value) && IsIn(operands_.floats, value)) == (op_ == Op::kIn);
  return Compare(op_, value, operands_.floats);
}

bool ValueTest::OfText(std::string_view value) const {
  if (IsSet(op_)) return IsIn(operands_.texts, value) == (op_ == Op::kIn);
  if (!IsTextOp(op_)) return Compare(op_, value, operands_.texts);
  return std::any_of(operands_.texts.begin(), operands_.texts.end(), [&](const std::string& text) {
    if (text.size() > value.size()) return false;
    return value.substr(op_ == Op::kStartsWith ? 0 : value.size() - text.size(), text.size()) == text;
  });
}

bool ValueTest::OfList(const std::vector<int64_t>& values) const {
  if (op_ == Op::kAll) {
    std::vector<int64_t> sorted(values);
    std::sort(sorted.begin(), sorted.end());
    return std::includes(sorted.begin(), sorted.end(), operands_.ints.begin(), operands_.ints.end());
  }
  const bool meets =
      std::any_of(values.begin(), values.end(), [&](int64_t value) { return IsIn(operands_.ints, value); });
  return meets == (op_ == Op::kAny);
}

bool ComparesLists(const std::string& subject, const std::string& op) { return IsListOp(OpNamed(subject, op)); }

Operands ReadFilterValues(std::string_view bytes, ValueKind kind) {
  // The members of FilterValues, by field number.
  static const char* const members[] = {"nothing", "float_list", "int64_list", "bytes_list"};
  const uint32_t wanted = kind == ValueKind::kFloat ? 1 : kind == ValueKind::kText ? 3 : 2;
  uint32_t found = 0;
  Operands operands;
  try {
    ProtoReader reader(bytes);
    std::string list;
    while (const uint32_t tag = reader.Tag()) {
      const uint32_t field = tag >> 3;
      if ((tag & 7) != kBytes || field < 1 || field > 3) {
        reader.Skip(tag);
        continue;
      }
      if (field != found) list.clear();  // of a oneof the last member stands
      found = field;
      list.append(reader.Bytes());
    }
    if (found == wanted && wanted == 1) {
      ForEachFixed(list, 1, kFixed32, [&](const char* values, size_t n) {
        if (n == 0) return;
        const size_t before = operands.floats.size();
        operands.floats.resize(before + n);
        std::memcpy(operands.floats.data() + before, values, 4 * n);
      });
    } else if (found == wanted && wanted == 2) {
      ForEachVarint(list, 1, [&](uint64_t value) { operands.ints.push_back(static_cast<int64_t>(value)); });
    } else if (found == wanted) {
      ForEachBytes(list, 1, [&](std::string_view text) { operands.texts.emplace_back(text); });
    }
  } catch (const Malformed&) {
    ThrowBadSetting("the file holds no serialized FilterValues.");
  }
  if (found != wanted) {
    ThrowBadSetting(std::string("the file's FilterValues has ") + members[found] + ", but the values are " +
                    NameOf(kind) + "s; give them as " + members[wanted] + ".");
  }
  return operands;
}

}  // namespace data
}  // namespace monolith
