// SPDX-License-Identifier: Apache-2.0
#include "cc/data/head_labels.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "cc/data/action_priority.h"
#include "cc/data/column_values.h"
#include "cc/data/config_text.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

constexpr int64_t kMostLabels = 1 << 16;

// The text of a field of LineId, and the index of the label that each has.
class Heads {
 public:
  Heads(const std::string& field, const std::vector<std::string>& heads, const std::vector<int64_t>& indices)
      : field_(FieldNamed(field)) {
    if (heads.empty() || heads.size() != indices.size()) {
      ThrowBadSetting("head_to_index has " + std::to_string(heads.size()) + " heads and " +
                      std::to_string(indices.size()) + " indices; give at least one head, and an index for each.");
    }
    for (size_t i = 0; i < heads.size(); ++i) {
      if (indices[i] < 0 || indices[i] >= kMostLabels) {
        ThrowBadSetting("head '" + heads[i] + "' has index " + std::to_string(indices[i]) + "; it must be in [0, " +
                        std::to_string(kMostLabels) + ").");
      }
      if (!indices_.try_emplace(heads[i], indices[i]).second) {
        ThrowBadSetting("head '" + heads[i] + "' is there twice; give each head one index.");
      }
      num_labels_ = std::max(num_labels_, indices[i] + 1);
    }
  }

  int64_t num_labels() const { return num_labels_; }

  // The index of a sample's head; -1 if it is not listed.
  int64_t IndexOf(std::string_view line_id) const {
    const LineIdValue value = ReadLineIdField(field_, line_id);
    const std::string head = field_.kind == LineIdField::Kind::kString ? std::string(value.text) : Text(value.ints[0]);
    const auto it = indices_.find(head);
    return it == indices_.end() ? -1 : it->second;
  }

 private:
  static const LineIdField& FieldNamed(const std::string& name) {
    const LineIdField& field = LineIdFieldOfSetting("head_field", name);
    if (field.repeated || field.kind == LineIdField::Kind::kFloat) {
      ThrowBadSetting("head_field is '" + name + "'; use a field with one integer or one string.");
    }
    return field;
  }
  // Ids are unsigned.
  std::string Text(int64_t value) const {
    return field_.kind == LineIdField::Kind::kFixed64 ? std::to_string(static_cast<uint64_t>(value))
                                                      : std::to_string(value);
  }

  const LineIdField& field_;
  std::unordered_map<std::string, int64_t> indices_;
  int64_t num_labels_ = 0;
};

class ScatterLabel : public RecordChange {
 public:
  ScatterLabel(MessageType type, Heads heads) : type_(type), heads_(std::move(heads)) { CheckHasHead(type); }

  bool Apply(std::string_view record, UniformSource*, std::string* changed) const override {
    const RecordHead head(type_, record);
    std::vector<float> labels(heads_.num_labels(), kInvalidLabel);
    const int64_t index = heads_.IndexOf(head.line_id());
    if (index >= 0 && !head.labels().empty()) labels[index] = head.labels()[0];
    *changed = WithLabels(type_, record, labels);
    return true;
  }

 private:
  const MessageType type_;
  const Heads heads_;
};

class MultiLabelGen : public RecordChange {
 public:
  MultiLabelGen(MessageType type, const MultiLabelConfig& config)
      : type_(type),
        config_(config),
        heads_(config.head_field, config.heads, config.indices),
        num_labels_(config.num_labels == 0 ? heads_.num_labels() : config.num_labels),
        priority_("action_priority", config.action_priority) {
    CheckHasHead(type);
    if (num_labels_ < heads_.num_labels() || num_labels_ > kMostLabels) {
      ThrowBadSetting("task_num is " + std::to_string(num_labels_) + ", but head_to_index needs " +
                      std::to_string(heads_.num_labels()) + " labels; give at least as many, up to " +
                      std::to_string(kMostLabels) + ".");
    }
    for (const int64_t action : config.pos_actions) {
      if (!Has(config.neg_actions, action)) continue;
      ThrowBadSetting("action " + std::to_string(action) + " is in pos_actions and in neg_actions; it can be one.");
    }
    if (!config.use_origin_label && config.pos_actions.empty() && config.neg_actions.empty()) {
      ThrowBadSetting("pos_actions and neg_actions are empty; list actions, or set use_origin_label.");
    }
  }

  bool Apply(std::string_view record, UniformSource*, std::string* changed) const override {
    const RecordHead head(type_, record);
    std::vector<float> labels(num_labels_, kInvalidLabel);
    const int64_t index = heads_.IndexOf(head.line_id());
    if (index >= 0) labels[index] = Label(head);
    *changed = WithLabels(type_, record, labels);
    return true;
  }

 private:
  static bool Has(const std::vector<int64_t>& actions, int64_t action) {
    return std::find(actions.begin(), actions.end(), action) != actions.end();
  }

  float Label(const RecordHead& head) const {
    if (config_.use_origin_label) return head.labels().empty() ? kInvalidLabel : head.labels()[0];
    const std::vector<int64_t> actions = head.Ints("actions");
    if (actions.empty()) return kInvalidLabel;
    const int64_t* best = priority_.Best(actions);
    const int64_t action = best == nullptr ? actions[0] : *best;
    if (Has(config_.pos_actions, action)) return config_.pos_label;
    return Has(config_.neg_actions, action) ? config_.neg_label : kInvalidLabel;
  }

  const MessageType type_;
  const MultiLabelConfig config_;
  const Heads heads_;
  const int64_t num_labels_;
  const ActionPriority priority_;
};

}  // namespace

std::unique_ptr<RecordChange> NewScatterLabel(MessageType type, const std::string& config) {
  const ConfigText text("config", config);
  std::vector<std::string> channels;
  std::vector<int64_t> indices;
  for (const std::string_view part : ConfigText::Split(config, ',')) {
    const auto fields = ConfigText::Split(part, ':');
    if (fields.size() != 2) text.Throw("'" + std::string(part) + "' is not chnid:index");
    channels.push_back(std::to_string(text.Int(fields[0])));
    indices.push_back(text.Int(fields[1]));
  }
  if (channels.empty()) text.Throw("give chnid:index for every channel");
  return std::make_unique<ScatterLabel>(type, Heads("chnid", channels, indices));
}

std::unique_ptr<RecordChange> NewMultiLabelGen(MessageType type, const MultiLabelConfig& config) {
  return std::make_unique<MultiLabelGen>(type, config);
}

}  // namespace data
}  // namespace monolith
