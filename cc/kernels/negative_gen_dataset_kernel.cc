// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <vector>

#include "cc/data/negative_gen.h"
#include "cc/kernels/item_pool_resource.h"
#include "cc/kernels/record_expansion_dataset.h"
#include "cc/kernels/record_op.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;

data::NegativeGenConfig ConfigOf(OpKernelConstruction* ctx) {
  data::NegativeGenConfig config;
  config.neg_num = Attr<int64_t>(ctx, "neg_num");
  config.per_channel = Attr<bool>(ctx, "per_channel");
  config.channel_feature = Attr<std::string>(ctx, "channel_feature");
  config.item_features = Attr<std::vector<std::string>>(ctx, "item_features");
  config.index_feature = Attr<std::string>(ctx, "index_feature");
  config.positive_actions = Attr<std::vector<int64_t>>(ctx, "positive_actions");
  config.action_priority = Attr<std::vector<int64_t>>(ctx, "action_priority");
  config.label_index = Attr<int64_t>(ctx, "label_index");
  config.positive_label = Attr<float>(ctx, "positive_label");
  config.negative_label = Attr<float>(ctx, "negative_label");
  config.negative_action = Attr<int64_t>(ctx, "negative_action");
  config.cache_only_pos = Attr<bool>(ctx, "cache_only_pos");
  config.cache_negative_actions = Attr<std::vector<int64_t>>(ctx, "cache_negative_actions");
  config.origin_neg_in_pool_proba = Attr<float>(ctx, "origin_neg_in_pool_proba");
  config.throw_origin = Attr<bool>(ctx, "throw_origin");
  config.throw_origin_neg = Attr<bool>(ctx, "throw_origin_neg");
  config.real_neg_instance_weight = Attr<float>(ctx, "real_neg_instance_weight");
  config.sampled_neg_instance_weight = Attr<float>(ctx, "sampled_neg_instance_weight");
  config.unbias_sampled_neg = Attr<bool>(ctx, "unbias_sampled_neg");
  config.neg_sample_decay_factor = Attr<float>(ctx, "neg_sample_declay_factor");
  config.easy_hard_ratio = Attr<float>(ctx, "easy_hard_ratio");
  return config;
}

class NegativeGenDatasetOp : public RecordExpansionDatasetOp {
 public:
  explicit NegativeGenDatasetOp(OpKernelConstruction* ctx) : RecordExpansionDatasetOp(ctx), config_(ConfigOf(ctx)) {
    ConstructParts(ctx, [&] { data::CheckNegativeGen(type(), config_); });
  }

 protected:
  absl::Status Expansion(OpKernelContext* ctx, std::shared_ptr<const data::RecordExpansion>* expansion) override {
    ::tensorflow::core::RefCountPtr<ItemPoolResource> resource;
    TF_RETURN_IF_ERROR(::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, 1), &resource));
    return ToStatus([&] { *expansion = data::NewNegativeGen(type(), config_, resource->pool); });
  }

 private:
  const data::NegativeGenConfig config_;
};

REGISTER_KERNEL_BUILDER(Name("InstanceNegativeGenDataset").Device(::tensorflow::DEVICE_CPU), NegativeGenDatasetOp);

}  // namespace
}  // namespace monolith
