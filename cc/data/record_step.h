// SPDX-License-Identifier: Apache-2.0
// One step of a pipeline of records: a filter that keeps or drops, or a change. Ops run one, TransformDataset several.
#ifndef CC_DATA_RECORD_STEP_H_
#define CC_DATA_RECORD_STEP_H_

#include <string>
#include <string_view>

namespace monolith {
namespace data {

// Draws for steps that decide by chance. Safe for threads.
class UniformSource {
 public:
  virtual ~UniformSource() = default;
  // Uniform in [0, 1).
  virtual double Next() = 0;
};

// True with probability `rate`. Draws nothing where the outcome is certain.
inline bool Happens(double rate, UniformSource* uniform) {
  if (rate <= 0) return false;
  return rate >= 1 || uniform->Next() < rate;
}

// Steps have no state: threads share them. The records must be valid messages of the type that the step was made for.
class RecordFilter {
 public:
  virtual ~RecordFilter() = default;
  virtual bool Keep(std::string_view record, UniformSource* uniform) const = 0;
};

class RecordChange {
 public:
  virtual ~RecordChange() = default;
  // Writes the changed record; false, and nothing written, if it stays as it is.
  virtual bool Apply(std::string_view record, UniformSource* uniform, std::string* changed) const = 0;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_RECORD_STEP_H_
