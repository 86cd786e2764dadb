// SPDX-License-Identifier: Apache-2.0
#include "cc/data/record_expansion.h"

#include <utility>

namespace monolith {
namespace data {
namespace {

class Transform : public RecordExpansion {
 public:
  explicit Transform(std::vector<TransformStep> steps) : steps_(std::move(steps)) {}

  Outcome Run(std::string_view record, UniformSource* uniform, std::string* changed) const override {
    Outcome outcome{1, false};
    for (const TransformStep& step : steps_) {
      if (!RunStep(step, record, uniform, changed, &outcome.changed)) return {};
    }
    return outcome;
  }

 private:
  static bool RunStep(const TransformStep& step, std::string_view record, UniformSource* uniform, std::string* changed,
                      bool* is_changed) {
    if (step.either != nullptr) {
      const bool first = RunStep(step.either->first, record, uniform, changed, is_changed);
      const bool second = RunStep(step.either->second, record, uniform, changed, is_changed);
      return first || second;
    }
    const std::string_view current = *is_changed ? std::string_view(*changed) : record;
    if (step.filter != nullptr) return step.filter->Keep(current, uniform);
    std::string next;
    if (step.change->Apply(current, uniform, &next)) {
      *changed = std::move(next);
      *is_changed = true;
    }
    return true;
  }

  const std::vector<TransformStep> steps_;
};

}  // namespace

std::unique_ptr<RecordExpansion> NewTransform(std::vector<TransformStep> steps) {
  return std::make_unique<Transform>(std::move(steps));
}

}  // namespace data
}  // namespace monolith
