// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/data/switch_slots.h"
#include "cc/data/tf_example.h"
#include "cc/kernels/record_op.h"
#include "cc/kernels/record_variant.h"

namespace monolith {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;

class SwitchSlotBatchOp : public RecordChangeOp {
 public:
  explicit SwitchSlotBatchOp(OpKernelConstruction* ctx) : RecordChangeOp(ctx) {
    const auto columns = Attr<std::vector<std::string>>(ctx, "features");
    const auto inplaces = Attr<std::vector<bool>>(ctx, "inplaces");
    const auto slots = Attr<std::vector<int64_t>>(ctx, "slots");
    OP_REQUIRES(ctx, columns.size() == inplaces.size() && columns.size() == slots.size(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": features has ", columns.size(),
                                                        " columns, inplaces ", inplaces.size(), " and slots ",
                                                        slots.size(), " values; give one of both for every column.")));
    std::vector<data::SlotSwitch> switches;
    for (size_t i = 0; i < columns.size(); ++i) switches.push_back({columns[i], inplaces[i], slots[i]});
    ConstructParts(ctx, [&] { change_ = data::NewSwitchSlots(type(), switches, Attr<std::string>(ctx, "suffix")); });
  }
};

class TfExampleToExampleOp : public OpKernel {
 public:
  explicit TfExampleToExampleOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    data::TfExampleConfig config;
    config.sparse_names = Attr<std::vector<std::string>>(ctx, "sparse_names");
    config.sparse_slots = Attr<std::vector<int64_t>>(ctx, "sparse_slots");
    config.dense_names = Attr<std::vector<std::string>>(ctx, "dense_names");
    config.label = Attr<std::string>(ctx, "label");
    config.instance_weight = Attr<std::string>(ctx, "instance_weight");
    ConstructParts(ctx, [&] { reader_ = std::make_unique<data::TfExampleReader>(config); });
  }

  void Compute(OpKernelContext* ctx) override {
    const auto serialized = ctx->input(0).flat<tstring>();
    Tensor* examples;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(0).shape(), &examples));
    auto out = examples->flat<::tensorflow::Variant>();
    for (int64_t i = 0; i < serialized.size(); ++i) {
      std::string example;
      const absl::Status status =
          ToStatus([&] { reader_->Convert(std::string_view(serialized(i).data(), serialized(i).size()), &example); });
      OP_REQUIRES_OK(ctx, NamingOp(absl::StrCat(type_string(), ": serialized[", i, "]"), status));
      out(i) = ExampleVariant(std::move(example));
    }
  }

 private:
  std::unique_ptr<data::TfExampleReader> reader_;
};

REGISTER_KERNEL_BUILDER(Name("SwitchSlotBatch").Device(DEVICE_CPU), SwitchSlotBatchOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTFExampleToExample").Device(DEVICE_CPU), TfExampleToExampleOp);

}  // namespace
}  // namespace monolith
