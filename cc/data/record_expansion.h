// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_RECORD_EXPANSION_H_
#define CC_DATA_RECORD_EXPANSION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cc/data/record_step.h"

namespace monolith {
namespace data {

// What becomes of a record in a dataset: nothing, one or several copies, of itself or of a changed one.
class RecordExpansion {
 public:
  struct Outcome {
    int64_t copies = 0;
    bool changed = false;  // the copies are of what was written to `changed`
  };

  virtual ~RecordExpansion() = default;
  virtual Outcome Run(std::string_view record, UniformSource* uniform, std::string* changed) const = 0;
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
