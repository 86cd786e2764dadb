// SPDX-License-Identifier: Apache-2.0
#include "cc/data/sampling.h"

#include <optional>
#include <unordered_map>
#include <utility>

#include "cc/data/action_priority.h"
#include "cc/data/config_text.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

struct Strategy {
  std::optional<float> rate, label;
};

class Strategies {
 public:
  explicit Strategies(const StrategyConfig& config)
      : order_("strategy_list", config.strategies), keep_empty_(config.keep_empty) {
    if (config.strategies.empty()) ThrowBadSetting("strategy_list is empty; list the strategies that decide.");
    for (const int64_t strategy : config.strategies) strategies_[strategy];
    const ConfigText conf("strategy_conf", config.conf);
    for (const std::string_view part : ConfigText::Split(config.conf, ',')) {
      const auto fields = ConfigText::Split(part, ':');
      if (fields.size() < 2 || fields.size() > 3)
        conf.Throw("'" + std::string(part) + "' is not strategy:rate[:label]");
      const auto it = strategies_.find(conf.Int(fields[0]));
      if (it == strategies_.end()) conf.Throw("strategy " + std::string(fields[0]) + " is not in strategy_list");
      if (it->second.rate) conf.Throw("strategy " + std::string(fields[0]) + " is there twice");
      it->second.rate = conf.Rate(fields[1]);
      if (fields.size() == 3) it->second.label = conf.Float(fields[2]);
    }
  }

  // The first that the record has, or null.
  const Strategy* FirstOf(const std::vector<int64_t>& of_record) const {
    const int64_t* best = order_.Best(of_record);
    return best == nullptr ? nullptr : &strategies_.at(*best);
  }
  bool keep_empty() const { return keep_empty_; }

 private:
  const ActionPriority order_;
  std::unordered_map<int64_t, Strategy> strategies_;
  const bool keep_empty_;
};

class SpecialStrategy : public RecordFilter {
 public:
  SpecialStrategy(MessageType type, const StrategyConfig& config) : type_(type), strategies_(config) {
    CheckHasHead(type);
  }
  bool Keep(std::string_view record, UniformSource* uniform) const override {
    const std::vector<int64_t> of_record = RecordHead(type_, record).Ints("special_strategies");
    if (of_record.empty()) return strategies_.keep_empty();
    const Strategy* strategy = strategies_.FirstOf(of_record);
    return strategy != nullptr && (!strategy->rate || Happens(*strategy->rate, uniform));
  }

 private:
  const MessageType type_;
  const Strategies strategies_;
};

class SpecialStrategyLabel : public RecordChange {
 public:
  SpecialStrategyLabel(MessageType type, const StrategyConfig& config) : type_(type), strategies_(config) {
    CheckHasHead(type);
  }
  bool Apply(std::string_view record, UniformSource*, std::string* changed) const override {
    const RecordHead head(type_, record);
    const Strategy* strategy = strategies_.FirstOf(head.Ints("special_strategies"));
    if (strategy == nullptr || !strategy->label) return false;
    std::vector<float> labels = head.labels();
    if (labels.empty()) labels.resize(1);
    labels[0] = *strategy->label;
    *changed = WithLabels(type_, record, labels);
    return true;
  }

 private:
  const MessageType type_;
  const Strategies strategies_;
};

class NegativeSample : public RecordFilter {
 public:
  NegativeSample(MessageType type, const NegativeSampleConfig& config)
      : type_(type),
        drop_rate_(config.drop_rate),
        index_(static_cast<size_t>(config.label_index)),
        threshold_(config.threshold),
        priority_("action_priority", config.action_priority) {
    CheckHasHead(type);
    CheckRate("drop_rate", config.drop_rate);
    if (config.label_index < 0) {
      ThrowBadSetting("label_index is " + std::to_string(config.label_index) + "; it must be at least 0.");
    }
    const ConfigText rates("per_action_drop_rate", config.per_action_drop_rate);
    for (const std::string_view part : ConfigText::Split(config.per_action_drop_rate, ',')) {
      const auto fields = ConfigText::Split(part, ':');
      if (fields.size() != 2) rates.Throw("'" + std::string(part) + "' is not action:rate");
      if (!rates_.try_emplace(rates.Action(fields[0]), rates.Rate(fields[1])).second) {
        rates.Throw("action " + std::string(fields[0]) + " is there twice");
      }
    }
  }

  bool Keep(std::string_view record, UniformSource* uniform) const override {
    const RecordHead head(type_, record);
    if (index_ >= head.labels().size()) {
      ThrowBadSetting("label_index is " + std::to_string(index_) + ", but a record has " +
                      std::to_string(head.labels().size()) +
                      " labels; add them first, or drop such records by filter_by_label.");
    }
    if (head.labels()[index_] >= threshold_) return true;
    return !Happens(DropRate(head.Ints("actions")), uniform);
  }

 private:
  float DropRate(const std::vector<int64_t>& actions) const {
    const int64_t* best = priority_.Best(actions);
    if (best == nullptr) return drop_rate_;
    const auto it = rates_.find(*best);
    return it == rates_.end() ? drop_rate_ : it->second;
  }

  const MessageType type_;
  const float drop_rate_;
  const size_t index_;
  const float threshold_;
  const ActionPriority priority_;
  std::unordered_map<int64_t, float> rates_;
};

}  // namespace

std::unique_ptr<RecordFilter> NewSpecialStrategy(MessageType type, const StrategyConfig& config) {
  return std::make_unique<SpecialStrategy>(type, config);
}

std::unique_ptr<RecordChange> NewSpecialStrategyLabel(MessageType type, const StrategyConfig& config) {
  return std::make_unique<SpecialStrategyLabel>(type, config);
}

std::unique_ptr<RecordFilter> NewNegativeSample(MessageType type, const NegativeSampleConfig& config) {
  return std::make_unique<NegativeSample>(type, config);
}

}  // namespace data
}  // namespace monolith
