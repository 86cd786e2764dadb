// SPDX-License-Identifier: Apache-2.0
// Comparisons of a value, or of a list of integers, with operands.
//
//   gt ge eq lt le neq      one operand
//   between                 two: a <= value < b
//   in not-in               a set
//   startswith endswith     texts; any of them
//   any all diff            lists of integers: some operand is in the list, all are, none is
#ifndef CC_DATA_COMPARISON_H_
#define CC_DATA_COMPARISON_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {
namespace data {

// What operands are compared with. Ids are unsigned: an operand below 0 stands for the id with its bits.
enum class ValueKind { kInt, kId, kFloat, kText };

struct Operands {
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string> texts;
};

class ValueTest {
 public:
  enum class Op { kGt, kGe, kEq, kLt, kLe, kNeq, kBetween, kIn, kNotIn, kStartsWith, kEndsWith, kAny, kAll, kDiff };

  // `lists`: whether values are lists. `subject` is what errors call them. Throws DataError (kInvalidArgument) where the
  // comparison is not known, is not one of such values, or has operands of another kind or number.
  ValueTest(const std::string& subject, const std::string& op, ValueKind kind, bool lists, Operands operands);

  bool OfInt(int64_t value) const;
  bool OfFloat(float value) const;
  bool OfText(std::string_view value) const;
  // The list must not be empty: what an empty one means is the caller's to say.
  bool OfList(const std::vector<int64_t>& values) const;

 private:
  const Op op_;
  const ValueKind kind_;
  Operands operands_;  // of sets sorted, each once
};

// Whether a comparison is one of lists. Throws for a name that is not known.
bool ComparesLists(const std::string& subject, const std::string& op);

// The operands in a serialized FilterValues, which have to be of this kind: ints (also for ids), floats or texts. Throws
// DataError (kInvalidArgument).
Operands ReadFilterValues(std::string_view bytes, ValueKind kind);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_COMPARISON_H_
