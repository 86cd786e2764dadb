// SPDX-License-Identifier: Apache-2.0
#include "cc/data/record_expansion.h"

#include <utility>

namespace monolith {
namespace data {
namespace {

class Transform : public RecordExpansion {
 public:
  explicit Transform(std::vector<TransformStep> steps) : steps_(std::move(steps)) {}

  std::vector<Copies> Run(std::string_view record, UniformSource* uniform) const override {
    std::optional<std::string> made;
    for (const TransformStep& step : steps_) {
      if (!RunStep(step, record, uniform, &made)) return {};
    }
    std::vector<Copies> copies;
    copies.push_back({1, std::move(made)});
    return copies;
  }

 private:
  static bool RunStep(const TransformStep& step, std::string_view record, UniformSource* uniform,
                      std::optional<std::string>* made) {
    if (step.either != nullptr) {
      const bool first = RunStep(step.either->first, record, uniform, made);
      const bool second = RunStep(step.either->second, record, uniform, made);
      return first || second;
    }
    const std::string_view current = *made ? std::string_view(**made) : record;
    if (step.filter != nullptr) return step.filter->Keep(current, uniform);
    std::string next;
    if (step.change->Apply(current, uniform, &next)) *made = std::move(next);
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
