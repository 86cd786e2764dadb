// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_config_from_proto.h"

#include <memory>

#include "cc/hash_table/hashing.h"

namespace monolith {
namespace {

InitializerConfig InitializerFromProto(const hash_table::InitializerConfig& proto) {
  InitializerConfig config;
  switch (proto.type_case()) {
    case hash_table::InitializerConfig::kZeros:
      config.kind = InitializerConfig::Kind::kConstant;
      break;
    case hash_table::InitializerConfig::kOnes:
      config.kind = InitializerConfig::Kind::kConstant;
      config.constant = 1;
      break;
    case hash_table::InitializerConfig::kConstants:
      config.kind = InitializerConfig::Kind::kConstant;
      config.constant = proto.constants().constant();
      break;
    case hash_table::InitializerConfig::kRandomUniform:
      config.kind = InitializerConfig::Kind::kRandomUniform;
      config.minval = proto.random_uniform().minval();
      config.maxval = proto.random_uniform().maxval();
      break;
    case hash_table::InitializerConfig::TYPE_NOT_SET:
      break;
  }
  return config;
}

// Reads settings of a message by name, so that an optimizer is added in its own file; those it lacks are left alone.
class Settings {
 public:
  explicit Settings(const google::protobuf::Message& message) : message_(message) {}
  void Read(const char* name, float* value) const { ReadBy(name, value, &google::protobuf::Reflection::GetFloat); }
  void Read(const char* name, bool* value) const { ReadBy(name, value, &google::protobuf::Reflection::GetBool); }
  void Read(const char* name, int64_t* value) const { ReadBy(name, value, &google::protobuf::Reflection::GetInt64); }

 private:
  template <typename T, typename Getter>
  void ReadBy(const char* name, T* value, Getter getter) const {
    const auto* field = message_.GetDescriptor()->FindFieldByName(name);
    if (field != nullptr) *value = (message_.GetReflection()->*getter)(message_, field);
  }

  const google::protobuf::Message& message_;
};

// The member that a message's oneof holds; null if none.
const google::protobuf::FieldDescriptor* ChosenMember(const google::protobuf::Message& proto) {
  return proto.GetReflection()->GetOneofFieldDescriptor(proto, proto.GetDescriptor()->oneof_decl(0));
}

OptimizerConfig OptimizerFromProto(const hash_table::OptimizerConfig& proto) {
  OptimizerConfig config;
  config.stochastic_rounding_float16 = proto.stochastic_rounding_float16();
  const auto* chosen = ChosenMember(proto);
  if (chosen == nullptr) return config;
  config.name = std::string(chosen->name());
  const Settings settings(proto.GetReflection()->GetMessage(proto, chosen));
  settings.Read("initial_accumulator_value", &config.initial_accumulator_value);
  settings.Read("weight_decay_factor", &config.weight_decay_factor);
  settings.Read("beta", &config.beta);
  settings.Read("beta1", &config.beta1);
  settings.Read("beta2", &config.beta2);
  settings.Read("epsilon", &config.epsilon);
  settings.Read("l1_regularization_strength", &config.l1_regularization_strength);
  settings.Read("l2_regularization_strength", &config.l2_regularization_strength);
  settings.Read("momentum", &config.momentum);
  settings.Read("averaging_ratio", &config.averaging_ratio);
  settings.Read("use_nesterov", &config.use_nesterov);
  settings.Read("decouple_weight_decay", &config.decouple_weight_decay);
  settings.Read("enable_dynamic_wd", &config.enable_dynamic_wd);
  settings.Read("lambda_", &config.lambda);
  if (proto.dc().has_base()) config.base = std::make_shared<OptimizerConfig>(OptimizerFromProto(proto.dc().base()));
  return config;
}

CompressorConfig CompressorFromProto(const hash_table::FloatCompressorConfig& proto) {
  CompressorConfig config;
  const auto* chosen = ChosenMember(proto);
  if (chosen == nullptr) return config;
  config.name = std::string(chosen->name());
  const Settings settings(proto.GetReflection()->GetMessage(proto, chosen));
  settings.Read("r", &config.r);
  settings.Read("step_size", &config.step_size);
  settings.Read("init_scale", &config.init_scale);
  settings.Read("max_scale", &config.max_scale);
  settings.Read("amplitude", &config.amplitude);
  return config;
}

TableConfig::EntryType EntryTypeFromProto(const std::string& name, const hash_table::EntryConfig& proto) {
  switch (proto.entry_type()) {
    case hash_table::EntryConfig::TRAINING:
      return TableConfig::EntryType::kTraining;
    case hash_table::EntryConfig::SERVING:
      return TableConfig::EntryType::kServing;
    default:
      throw TableError("table '" + name + "': entry_type is unknown; set TRAINING or SERVING.");
  }
}

}  // namespace

ExpireConfig ExpireConfigFromProto(const hash_table::SlotExpireTimeConfig& proto) {
  ExpireConfig config;
  config.default_days = proto.default_expire_time();
  for (const auto& item : proto.slot_expire_times()) {
    if (item.slot() >= kNumSlots) {
      throw TableError("expire time of slot " + std::to_string(item.slot()) + ": slots end at " +
                       std::to_string(kNumSlots - 1) + "; correct the slot.");
    }
    config.days_by_slot[item.slot()] = item.expire_time();
  }
  return config;
}

TableConfig TableConfigFromProto(const std::string& name, const hash_table::EmbeddingHashTableConfig& proto,
                                 uint64_t seed) {
  if (proto.type_case() != hash_table::EmbeddingHashTableConfig::kCuckoo) {
    throw TableError("table '" + name + "': the table type is unset; set cuckoo.");
  }
  TableConfig config;
  config.name = name;
  config.seed = seed;
  config.entry_type = EntryTypeFromProto(name, proto.entry_config());
  config.initial_capacity = proto.initial_capacity();
  config.expire = ExpireConfigFromProto(proto.slot_expire_time_config());
  config.skip_zero_embedding = proto.skip_zero_embedding();
  config.enable_feature_eviction = proto.enable_feature_eviction();
  config.feature_evict_every_n_hours = proto.feature_evict_every_n_hours();
  for (const auto& segment : proto.entry_config().segments()) {
    SliceConfig slice;
    slice.dim = segment.dim_size();
    slice.initializer = InitializerFromProto(segment.init_config());
    slice.optimizer = OptimizerFromProto(segment.opt_config());
    slice.compressor = CompressorFromProto(segment.comp_config());
    config.slices.push_back(slice);
  }
  return config;
}

}  // namespace monolith
