// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "cc/data/sampling.h"
#include "cc/kernels/record_op.h"

namespace monolith {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernelConstruction;

data::StrategyConfig Strategies(OpKernelConstruction* ctx) {
  data::StrategyConfig config;
  config.strategies = Attr<std::vector<int64_t>>(ctx, "strategy_list");
  config.conf = Attr<std::string>(ctx, "strategy_conf");
  return config;
}

class SpecialStrategyOp : public RecordFilterOp {
 public:
  explicit SpecialStrategyOp(OpKernelConstruction* ctx) : RecordFilterOp(ctx) {
    data::StrategyConfig config = Strategies(ctx);
    config.keep_empty = Attr<bool>(ctx, "keep_empty_strategy");
    ConstructParts(ctx, [&] { filter_ = data::NewSpecialStrategy(type(), config); });
  }
};

class SpecialStrategyLabelOp : public RecordChangeOp {
 public:
  explicit SpecialStrategyLabelOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    ConstructParts(ctx, [&] { change_ = data::NewSpecialStrategyLabel(type(), Strategies(ctx)); });
  }
};

class NegativeSampleOp : public RecordFilterOp {
 public:
  explicit NegativeSampleOp(OpKernelConstruction* ctx) : RecordFilterOp(ctx) {
    data::NegativeSampleConfig config;
    config.drop_rate = Attr<float>(ctx, "drop_rate");
    config.label_index = Attr<int64_t>(ctx, "label_index");
    config.threshold = Attr<float>(ctx, "threshold");
    config.action_priority = Attr<std::vector<int64_t>>(ctx, "action_priority");
    config.per_action_drop_rate = Attr<std::string>(ctx, "per_action_drop_rate");
    ConstructParts(ctx, [&] { filter_ = data::NewNegativeSample(type(), config); });
  }
};

REGISTER_KERNEL_BUILDER(Name("SpecialStrategy").Device(DEVICE_CPU), SpecialStrategyOp);
REGISTER_KERNEL_BUILDER(Name("MonolithSpecialStrategyLabel").Device(DEVICE_CPU), SpecialStrategyLabelOp);
REGISTER_KERNEL_BUILDER(Name("NegativeSample").Device(DEVICE_CPU), NegativeSampleOp);

}  // namespace
}  // namespace monolith
