// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/hashing.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;

class ExtractSlotFromEntryOp : public OpKernel {
 public:
  explicit ExtractSlotFromEntryOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("fid_v2", &fid_v2_));
  }

  void Compute(OpKernelContext* ctx) override {
    const auto entries = ctx->input(0).flat<tstring>();
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {entries.size()}, &output));
    auto slots = output->flat<int32_t>();
    for (int64_t i = 0; i < entries.size(); ++i) {
      EntryDump dump;
      if (!ParseEntryDump(std::string_view(entries(i).data(), entries(i).size()), &dump)) {
        LOG(WARNING) << type_string() << ": entry[" << i << "] is no EntryDump; its slot is taken as that of fid 0.";
        dump.fid = 0;
      }
      slots(i) = static_cast<int32_t>(fid_v2_ ? SlotOfFid(dump.fid) : SlotOfVersion1Fid(dump.fid));
    }
  }

 private:
  bool fid_v2_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithExtractSlotFromEntry").Device(::tensorflow::DEVICE_CPU), ExtractSlotFromEntryOp);

}  // namespace
}  // namespace monolith
