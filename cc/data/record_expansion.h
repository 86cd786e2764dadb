// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_RECORD_EXPANSION_H_
#define CC_DATA_RECORD_EXPANSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cc/data/record_step.h"

namespace monolith {
namespace data {

// Copies of a record, or of another that was made of it.
struct Copies {
  int64_t count = 0;
  std::optional<std::string> made;  // none: the record itself
};

// What becomes of a record in a dataset: nothing, or copies, in their order.
class RecordExpansion {
 public:
  virtual ~RecordExpansion() = default;
  virtual std::vector<Copies> Run(std::string_view record, UniformSource* uniform) const = 0;
};

// One step of a chain; exactly one member is set.
struct TransformStep {
  std::unique_ptr<RecordFilter> filter;
  std::unique_ptr<RecordChange> change;
  // Both run. The record stays if one of them keeps it; changes always do, and what they change is changed.
  std::unique_ptr<std::pair<TransformStep, TransformStep>> either;
};

// Steps one after another, up to the first that drops the record.
std::unique_ptr<RecordExpansion> NewTransform(std::vector<TransformStep> steps);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_RECORD_EXPANSION_H_
