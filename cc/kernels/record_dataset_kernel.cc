// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "cc/data/config_text.h"
#include "cc/data/reweight.h"
#include "cc/kernels/record_expansion_dataset.h"
#include "cc/kernels/record_op.h"
#include "cc/kernels/transform_from_proto.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernelConstruction;

std::string ReadFile(const std::string& path) {
  std::string content;
  const absl::Status status = ::tensorflow::ReadFileToString(::tensorflow::Env::Default(), path, &content);
  if (!status.ok()) {
    data::ThrowBadSetting("operand_filepath is '" + path + "', which cannot be read: " + std::string(status.message()));
  }
  return content;
}

class TransformDatasetOp : public RecordExpansionDatasetOp {
 public:
  explicit TransformDatasetOp(OpKernelConstruction* ctx) : RecordExpansionDatasetOp(ctx) {
    ConstructParts(ctx, [&] { expansion_ = TransformFromProto(type(), Attr<std::string>(ctx, "config"), ReadFile); });
  }
};

class InstanceReweightDatasetOp : public RecordExpansionDatasetOp {
 public:
  explicit InstanceReweightDatasetOp(OpKernelConstruction* ctx) : RecordExpansionDatasetOp(ctx) {
    data::ReweightConfig config;
    config.actions = Attr<std::vector<int64_t>>(ctx, "actions");
    config.weights = Attr<std::vector<int64_t>>(ctx, "weights");
    config.labels = Attr<std::vector<int64_t>>(ctx, "labels");
    config.action_priority = Attr<std::vector<int64_t>>(ctx, "priorities");
    ConstructParts(ctx, [&] { expansion_ = data::NewReweight(type(), config); });
  }
};

REGISTER_KERNEL_BUILDER(Name("TransformDataset").Device(DEVICE_CPU), TransformDatasetOp);
REGISTER_KERNEL_BUILDER(Name("InstanceReweightDataset").Device(DEVICE_CPU), InstanceReweightDatasetOp);

}  // namespace
}  // namespace monolith
