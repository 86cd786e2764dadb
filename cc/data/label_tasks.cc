// SPDX-License-Identifier: Apache-2.0
#include "cc/data/label_tasks.h"

#include <algorithm>
#include <utility>

#include "cc/data/column_values.h"
#include "cc/data/config_text.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

bool HasAny(const std::vector<int64_t>& actions, const std::vector<int32_t>& wanted) {
  return std::any_of(wanted.begin(), wanted.end(), [&](int32_t action) {
    return std::find(actions.begin(), actions.end(), action) != actions.end();
  });
}

class AddLabel : public RecordChange {
 public:
  AddLabel(MessageType type, std::vector<LabelTask> tasks, float negative_value, float new_sample_rate)
      : type_(type), tasks_(std::move(tasks)), negative_value_(negative_value), new_sample_rate_(new_sample_rate) {
    CheckHasHead(type);
    if (tasks_.empty()) ThrowBadSetting("config is empty; give pos_actions:neg_actions:sample_rate for every task.");
    for (const LabelTask& task : tasks_) CheckRate("sample_rate", task.sample_rate);
    if (!(new_sample_rate > 0 && new_sample_rate <= 1)) {
      ThrowBadSetting("new_sample_rate is " + std::to_string(new_sample_rate) + "; it must be in (0, 1].");
    }
  }

  bool Apply(std::string_view record, UniformSource* uniform, std::string* changed) const override {
    const RecordHead head(type_, record);
    const std::vector<int64_t> actions = head.Ints("actions");
    std::vector<float> labels = head.labels();
    if (!labels.empty() && labels[0] <= 0) labels[0] = kInvalidLabel;
    for (const LabelTask& task : tasks_) labels.push_back(Label(task, actions, uniform));
    *changed = WithLabels(type_, record, labels);
    AppendSampleRate(type_, new_sample_rate_, changed);
    return true;
  }

 private:
  float Label(const LabelTask& task, const std::vector<int64_t>& actions, UniformSource* uniform) const {
    if (HasAny(actions, task.pos_actions)) return 1;
    if (!task.neg_actions.empty() && !HasAny(actions, task.neg_actions)) return kInvalidLabel;
    return Happens(task.sample_rate, uniform) ? negative_value_ : kInvalidLabel;
  }

  const MessageType type_;
  const std::vector<LabelTask> tasks_;
  const float negative_value_, new_sample_rate_;
};

}  // namespace

std::vector<LabelTask> ReadLabelTasks(const std::string& config) {
  const ConfigText text("config", config);
  std::vector<LabelTask> tasks;
  for (const std::string_view part : ConfigText::Split(config, ';')) {
    if (part.empty() && !tasks.empty()) continue;  // a semicolon at the end
    const auto fields = ConfigText::Split(part, ':');
    if (fields.size() != 3) text.Throw("'" + std::string(part) + "' is not pos_actions:neg_actions:sample_rate");
    tasks.push_back({text.Actions(fields[0]), text.Actions(fields[1]), text.Rate(fields[2])});
    if (tasks.back().pos_actions.empty()) text.Throw("'" + std::string(part) + "' has no positive action");
  }
  return tasks;
}

std::unique_ptr<RecordChange> NewAddLabel(MessageType type, std::vector<LabelTask> tasks, float negative_value,
                                          float new_sample_rate) {
  return std::make_unique<AddLabel>(type, std::move(tasks), negative_value, new_sample_rate);
}

}  // namespace data
}  // namespace monolith
