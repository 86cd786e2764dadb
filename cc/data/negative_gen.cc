// SPDX-License-Identifier: Apache-2.0
#include "cc/data/negative_gen.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cc/data/action_priority.h"
#include "cc/data/column_values.h"
#include "cc/data/config_text.h"
#include "cc/data/proto_writer.h"
#include "cc/data/record_head.h"
#include "cc/data/record_sides.h"

namespace monolith {
namespace data {
namespace {

constexpr int64_t kOnlyChannel = 3;       // of all items, where channels are not told apart
constexpr char kChannelSlot[] = "3";      // of Instances, where no feature is named
constexpr float kSmallestWeight = 1e-5f;  // that is taken for one

bool Has(const std::vector<int64_t>& actions, int64_t action) {
  return std::find(actions.begin(), actions.end(), action) != actions.end();
}

class NegativeGen : public RecordExpansion {
 public:
  NegativeGen(MessageType type, const NegativeGenConfig& config, std::shared_ptr<ItemPool> pool);
  std::vector<Copies> Run(std::string_view record, UniformSource* uniform) const override;

 private:
  void Check() const;
  bool IsPositive(const RecordHead& head, const std::vector<int64_t>& actions) const;
  bool EntersPool(bool positive, const std::vector<int64_t>& actions, UniformSource* uniform) const;
  int64_t ChannelOf(std::string_view record) const;
  void AddNegatives(std::string_view record, const RecordHead& head, int64_t channel, UniformSource* uniform,
                    std::vector<Copies>* copies) const;
  std::string Negative(std::string_view record, const RecordHead& head, const ItemPool::Drawn& drawn) const;
  float Weight(const ItemPool::Drawn& drawn) const;

  const MessageType type_;
  NegativeGenConfig config_;
  const std::shared_ptr<ItemPool> pool_;
  const RecordSides sides_;
  const ActionPriority priority_;
};

NegativeGen::NegativeGen(MessageType type, const NegativeGenConfig& config, std::shared_ptr<ItemPool> pool)
    : type_(type),
      config_(config),
      pool_(std::move(pool)),
      sides_(type, config.item_features),
      priority_("action_priority", config.action_priority) {
  if (config_.per_channel && config_.channel_feature.empty() && type == MessageType::kInstance) {
    config_.channel_feature = kChannelSlot;
  }
  Check();
}

void NegativeGen::Check() const {
  if (config_.neg_num < 0)
    ThrowBadSetting("neg_num is " + std::to_string(config_.neg_num) + "; it must be at least 0.");
  if (config_.label_index < 0) {
    ThrowBadSetting("label_index is " + std::to_string(config_.label_index) + "; it must be at least 0.");
  }
  if (config_.per_channel && config_.channel_feature.empty()) {
    ThrowBadSetting("per_channel is set, but channel_feature is empty; name the column with the channel.");
  }
  if (config_.negative_action != static_cast<int32_t>(config_.negative_action)) {
    ThrowBadSetting("negative_action is " + std::to_string(config_.negative_action) + "; an action has 32 bits.");
  }
  CheckRate("origin_neg_in_pool_proba", config_.origin_neg_in_pool_proba);
  CheckRate("easy_hard_ratio", config_.easy_hard_ratio);
  for (const int64_t action : config_.positive_actions) {
    if (!Has(config_.cache_negative_actions, action)) continue;
    ThrowBadSetting("action " + std::to_string(action) +
                    " is in positive_actions and in cache_negative_actions; it can be one.");
  }
  // A slot that there cannot be is found now.
  if (config_.per_channel) sides_.FirstFid("", config_.channel_feature);
  if (!config_.index_feature.empty()) sides_.FirstFid("", config_.index_feature);
}

std::vector<Copies> NegativeGen::Run(std::string_view record, UniformSource* uniform) const {
  const RecordHead head(type_, record);
  const std::vector<int64_t> actions = head.Ints("actions");
  const bool positive = IsPositive(head, actions);
  const int64_t channel = ChannelOf(record);
  if (channel != 0 && EntersPool(positive, actions, uniform)) {
    const uint64_t gid = config_.index_feature.empty() ? static_cast<uint64_t>(head.Ints("item_id")[0])
                                                       : sides_.FirstFid(record, config_.index_feature).value_or(0);
    pool_->Push(channel, static_cast<int64_t>(gid), std::make_shared<const ItemFeatures>(sides_.Item(record)));
  }
  std::vector<Copies> copies;
  if (positive) AddNegatives(record, head, channel, uniform, &copies);
  if (!config_.throw_origin && (positive || !config_.throw_origin_neg)) {
    std::string original(record);
    PutFloatField(&original, WeightField(type_), positive ? 1 : config_.real_neg_instance_weight);
    copies.push_back({1, std::move(original)});
  }
  return copies;
}

bool NegativeGen::IsPositive(const RecordHead& head, const std::vector<int64_t>& actions) const {
  if (config_.positive_actions.empty()) {
    const auto index = static_cast<size_t>(config_.label_index);
    return index < head.labels().size() && head.labels()[index] == config_.positive_label;
  }
  if (actions.empty()) return false;
  const int64_t* best = priority_.Best(actions);
  return Has(config_.positive_actions, best == nullptr ? actions[0] : *best);
}

bool NegativeGen::EntersPool(bool positive, const std::vector<int64_t>& actions, UniformSource* uniform) const {
  if (positive) return true;
  const bool wanted = !config_.cache_only_pos || std::any_of(actions.begin(), actions.end(), [&](int64_t action) {
    return Has(config_.cache_negative_actions, action);
  });
  return wanted && Happens(config_.origin_neg_in_pool_proba, uniform);
}

int64_t NegativeGen::ChannelOf(std::string_view record) const {
  if (!config_.per_channel) return kOnlyChannel;
  return static_cast<int64_t>(sides_.FirstFid(record, config_.channel_feature).value_or(0));
}

void NegativeGen::AddNegatives(std::string_view record, const RecordHead& head, int64_t channel, UniformSource* uniform,
                               std::vector<Copies>* copies) const {
  for (int64_t i = 0; i < config_.neg_num; ++i) {
    int64_t from = channel;
    if (config_.per_channel && Happens(config_.easy_hard_ratio, uniform)) pool_->DrawChannel(uniform, &from);
    ItemPool::Drawn drawn;
    if (pool_->Draw(from, uniform, &drawn)) copies->push_back({1, Negative(record, head, drawn)});
  }
}

std::string NegativeGen::Negative(std::string_view record, const RecordHead& head, const ItemPool::Drawn& drawn) const {
  std::string made = sides_.WithItem(record, *drawn.features);
  std::vector<int32_t> actions;
  if (config_.negative_action != NegativeGenConfig::kKeepActions) {
    actions.push_back(static_cast<int32_t>(config_.negative_action));
  }
  const std::string line_id = WithItem(head.line_id(), static_cast<uint64_t>(drawn.gid), actions);
  PutBytesField(&made, LineIdNumber(type_), line_id);
  std::vector<float> labels = head.labels();
  const auto index = static_cast<size_t>(config_.label_index);
  if (labels.size() <= index) labels.resize(index + 1, kInvalidLabel);
  labels[index] = config_.negative_label;
  PutLabels(type_, labels, &made);
  PutFloatField(&made, WeightField(type_), Weight(drawn));
  return made;
}

float NegativeGen::Weight(const ItemPool::Drawn& drawn) const {
  if (config_.sampled_neg_instance_weight > kSmallestWeight) return config_.sampled_neg_instance_weight;
  if (!config_.unbias_sampled_neg) return 1;
  const double place = static_cast<double>(drawn.index + 1) / static_cast<double>(drawn.size);
  const double decayed = std::pow(place, static_cast<double>(config_.neg_sample_decay_factor));
  return static_cast<float>(1 + static_cast<double>(config_.neg_num) * decayed / static_cast<double>(drawn.times));
}

}  // namespace

std::unique_ptr<RecordExpansion> NewNegativeGen(MessageType type, const NegativeGenConfig& config,
                                                std::shared_ptr<ItemPool> pool) {
  return std::make_unique<NegativeGen>(type, config, std::move(pool));
}

void CheckNegativeGen(MessageType type, const NegativeGenConfig& config) { NewNegativeGen(type, config, nullptr); }

}  // namespace data
}  // namespace monolith
