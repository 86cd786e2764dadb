// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_config_from_proto.h"

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

// The set member's name is the optimizer's; its settings are read by name, so that an optimizer is added in its own file.
OptimizerConfig OptimizerFromProto(const hash_table::OptimizerConfig& proto) {
  OptimizerConfig config;
  if (proto.stochastic_rounding_float16()) {
    throw TableError("stochastic_rounding_float16 is not supported yet; turn it off.");
  }
  const auto* chosen = proto.GetReflection()->GetOneofFieldDescriptor(proto, proto.GetDescriptor()->oneof_decl(0));
  if (chosen == nullptr) return config;
  config.name = std::string(chosen->name());
  const google::protobuf::Message& member = proto.GetReflection()->GetMessage(proto, chosen);
  const auto number = [&member](const char* field, float* value) {
    const auto* descriptor = member.GetDescriptor()->FindFieldByName(field);
    if (descriptor != nullptr) *value = member.GetReflection()->GetFloat(member, descriptor);
  };
  number("initial_accumulator_value", &config.initial_accumulator_value);
  number("weight_decay_factor", &config.weight_decay_factor);
  number("beta", &config.beta);
  number("beta1", &config.beta1);
  number("beta2", &config.beta2);
  number("epsilon", &config.epsilon);
  number("l1_regularization_strength", &config.l1_regularization_strength);
  number("l2_regularization_strength", &config.l2_regularization_strength);
  const auto* nesterov = member.GetDescriptor()->FindFieldByName("use_nesterov");
  if (nesterov != nullptr) config.use_nesterov = member.GetReflection()->GetBool(member, nesterov);
  return config;
}

CompressorConfig CompressorFromProto(const hash_table::FloatCompressorConfig& proto) {
  CompressorConfig config;
  const auto* chosen = proto.GetReflection()->GetOneofFieldDescriptor(proto, proto.GetDescriptor()->oneof_decl(0));
  if (chosen != nullptr) config.name = std::string(chosen->name());
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
  if (proto.enable_feature_eviction()) {
    throw TableError("table '" + name + "': enable_feature_eviction is not supported yet; turn it off.");
  }
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
