// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include "cc/data/head_labels.h"
#include "cc/data/label_tasks.h"
#include "cc/data/label_values.h"
#include "cc/data/value_filter.h"
#include "cc/kernels/record_op.h"

namespace monolith {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernelConstruction;

class AddActionOp : public RecordChangeOp {
 public:
  explicit AddActionOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    const auto field = Attr<std::string>(ctx, "field_name");
    data::Operands operands{Attr<std::vector<float>>(ctx, "float_operand"),
                            Attr<std::vector<int64_t>>(ctx, "int_operand"),
                            Attr<std::vector<std::string>>(ctx, "string_operand")};
    ConstructParts(ctx, [&] {
      const data::LineIdTest test(field, Attr<std::string>(ctx, "op"), std::move(operands), false);
      change_ = data::NewAddAction(type(), test, Attr<int32_t>(ctx, "action"));
    });
  }
};

class AddLabelOp : public RecordChangeOp {
 public:
  explicit AddLabelOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    ConstructParts(ctx, [&] {
      change_ = data::NewAddLabel(type(), data::ReadLabelTasks(Attr<std::string>(ctx, "config")),
                                  Attr<float>(ctx, "negative_value"), Attr<float>(ctx, "new_sample_rate"));
    });
  }
};

class ScatterLabelOp : public RecordChangeOp {
 public:
  explicit ScatterLabelOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    ConstructParts(ctx, [&] { change_ = data::NewScatterLabel(type(), Attr<std::string>(ctx, "config")); });
  }
};

class MultiLabelGenOp : public RecordChangeOp {
 public:
  explicit MultiLabelGenOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    data::MultiLabelConfig config;
    config.head_field = Attr<std::string>(ctx, "head_field");
    config.heads = Attr<std::vector<std::string>>(ctx, "heads");
    config.indices = Attr<std::vector<int64_t>>(ctx, "indices");
    config.num_labels = Attr<int64_t>(ctx, "task_num");
    config.use_origin_label = Attr<bool>(ctx, "use_origin_label");
    config.action_priority = Attr<std::vector<int64_t>>(ctx, "action_priority");
    config.pos_actions = Attr<std::vector<int64_t>>(ctx, "pos_actions");
    config.neg_actions = Attr<std::vector<int64_t>>(ctx, "neg_actions");
    config.pos_label = Attr<float>(ctx, "pos_label");
    config.neg_label = Attr<float>(ctx, "neg_label");
    ConstructParts(ctx, [&] { change_ = data::NewMultiLabelGen(type(), config); });
  }
};

class LabelUpperBoundOp : public RecordChangeOp {
 public:
  explicit LabelUpperBoundOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    ConstructParts(
        ctx, [&] { change_ = data::NewLabelUpperBound(type(), Attr<std::vector<float>>(ctx, "label_upper_bounds")); });
  }
};

class LabelNormalizationOp : public RecordChangeOp {
 public:
  explicit LabelNormalizationOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    ConstructParts(ctx, [&] {
      change_ = data::NewLabelNormalization(type(), Attr<std::vector<std::string>>(ctx, "norm_methods"),
                                            Attr<std::vector<float>>(ctx, "norm_values"));
    });
  }
};

class FillMultiRankOutputOp : public RecordChangeOp {
 public:
  explicit FillMultiRankOutputOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    const bool draw = Attr<bool>(ctx, "enable_draw_as_rank"), channel = Attr<bool>(ctx, "enable_chnid_as_rank"),
               rank = Attr<bool>(ctx, "enable_lineid_rank_as_rank");
    OP_REQUIRES(ctx, int{draw} + int{channel} + int{rank} == 1,
                absl::InvalidArgumentError("FillMultiRankOutput: set exactly one of enable_draw_as_rank, "
                                           "enable_chnid_as_rank and enable_lineid_rank_as_rank."));
    const auto source = draw      ? data::RankSource::kDraw
                        : channel ? data::RankSource::kChannel
                                  : data::RankSource::kLineIdRank;
    ConstructParts(ctx,
                   [&] { change_ = data::NewFillMultiRankOutput(type(), source, Attr<int64_t>(ctx, "rank_num")); });
  }
};

class UseFieldAsLabelOp : public RecordChangeOp {
 public:
  explicit UseFieldAsLabelOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    ConstructParts(ctx, [&] {
      change_ =
          data::NewUseFieldAsLabel(type(), Attr<std::string>(ctx, "field_name"),
                                   Attr<bool>(ctx, "overwrite_invalid_value"), Attr<float>(ctx, "label_threshold"));
    });
  }
};

REGISTER_KERNEL_BUILDER(Name("AddAction").Device(DEVICE_CPU), AddActionOp);
REGISTER_KERNEL_BUILDER(Name("AddLabel").Device(DEVICE_CPU), AddLabelOp);
REGISTER_KERNEL_BUILDER(Name("ScatterLabel").Device(DEVICE_CPU), ScatterLabelOp);
REGISTER_KERNEL_BUILDER(Name("MultiLabelGen").Device(DEVICE_CPU), MultiLabelGenOp);
REGISTER_KERNEL_BUILDER(Name("LabelUpperBound").Device(DEVICE_CPU), LabelUpperBoundOp);
REGISTER_KERNEL_BUILDER(Name("LabelNormalization").Device(DEVICE_CPU), LabelNormalizationOp);
REGISTER_KERNEL_BUILDER(Name("FillMultiRankOutput").Device(DEVICE_CPU), FillMultiRankOutputOp);
REGISTER_KERNEL_BUILDER(Name("UseFieldAsLabel").Device(DEVICE_CPU), UseFieldAsLabelOp);

}  // namespace
}  // namespace monolith
