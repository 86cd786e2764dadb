// SPDX-License-Identifier: Apache-2.0
#include "cc/data/reweight.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "cc/data/action_priority.h"
#include "cc/data/config_text.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

constexpr int kNoListed = 1000, kNoActions = 2000;
constexpr int64_t kLargestWeight = int64_t{1} << 31;
constexpr int64_t kMostCopies = int64_t{1} << 40;  // products stop there

struct Weight {
  int64_t weight;
  int64_t label;
};

class Reweight : public RecordExpansion {
 public:
  Reweight(MessageType type, const ReweightConfig& config)
      : type_(type), priority_("action_priority", config.action_priority) {
    CheckHasHead(type);
    if (config.actions.size() != config.weights.size() || config.actions.size() != config.labels.size()) {
      ThrowBadSetting("actions, weights and labels have " + std::to_string(config.actions.size()) + ", " +
                      std::to_string(config.weights.size()) + " and " + std::to_string(config.labels.size()) +
                      " values; give one of each for every action.");
    }
    if (config.action_priority.size() >= kNoListed) {
      ThrowBadSetting("action_priority lists " + std::to_string(config.action_priority.size()) +
                      " actions; list fewer than 1000.");
    }
    for (size_t i = 0; i < config.actions.size(); ++i) Add(config.actions[i], config.weights[i], config.labels[i]);
  }

  std::vector<Copies> Run(std::string_view record, UniformSource*) const override {
    const RecordHead head(type_, record);
    const std::vector<int64_t> before = head.Ints("pre_actions"), now = head.Ints("actions");
    if (before.empty() && now.empty()) return Only(1, std::nullopt);
    if (Rank(before) <= Rank(now)) return {};
    std::vector<float> labels = head.labels();
    if (const Weight* best = BestOf(now)) {
      if (labels.empty()) labels.resize(1);
      labels[0] = static_cast<float>(best->label);
    }
    if (labels.empty()) return {};
    const int64_t copies = NumCopies(BestOf(before), Count(before), Count(now), &labels[0]);
    if (copies == 0) return {};
    if (labels == head.labels()) return Only(copies, std::nullopt);
    return Only(copies, WithLabels(type_, record, labels));
  }

 private:
  static std::vector<Copies> Only(int64_t count, std::optional<std::string> made) {
    std::vector<Copies> copies;
    copies.push_back({count, std::move(made)});
    return copies;
  }

  void Add(int64_t action, int64_t weight, int64_t label) {
    if (weight < 0 || weight > kLargestWeight) {
      ThrowBadSetting("reweight has weight " + std::to_string(weight) + " for action " + std::to_string(action) +
                      "; a weight is a number of copies, 0 or more.");
    }
    if (weights_.try_emplace(action, Weight{weight, label}).second) return;
    ThrowBadSetting("reweight has action " + std::to_string(action) + " twice; give it one weight.");
  }

  const Weight* Find(int64_t action) const {
    const auto it = weights_.find(action);
    return it == weights_.end() ? nullptr : &it->second;
  }
  const Weight* BestOf(const std::vector<int64_t>& actions) const {
    const int64_t* best = priority_.Best(actions);
    return best == nullptr ? nullptr : Find(*best);
  }
  int Rank(const std::vector<int64_t>& actions) const {
    if (actions.empty()) return kNoActions;
    const int64_t* best = priority_.Best(actions);
    return best == nullptr ? kNoListed : 1 + priority_.Position(*best);
  }

  int64_t Count(const std::vector<int64_t>& actions) const {
    if (actions.empty()) return 0;
    int64_t count = 1;
    const auto times = [&](int64_t action) {
      const Weight* weight = Find(action);
      if (weight == nullptr) return;
      count = static_cast<int64_t>(std::min<__int128>(static_cast<__int128>(count) * weight->weight, kMostCopies));
    };
    if (const int64_t* best = priority_.Best(actions)) times(*best);
    for (const int64_t action : actions) {
      if (priority_.Position(action) == ActionPriority::kNotListed) times(action);
    }
    return count;
  }

  static int64_t NumCopies(const Weight* before, int64_t count_before, int64_t count_now, float* label) {
    if (before == nullptr) return count_now;
    if (static_cast<float>(before->label) != *label) return count_before + count_now;
    if (count_before > count_now) *label = -*label;
    return std::abs(count_before - count_now);
  }

  const MessageType type_;
  const ActionPriority priority_;
  std::unordered_map<int64_t, Weight> weights_;
};

}  // namespace

std::unique_ptr<RecordExpansion> NewReweight(MessageType type, const ReweightConfig& config) {
  return std::make_unique<Reweight>(type, config);
}

}  // namespace data
}  // namespace monolith
