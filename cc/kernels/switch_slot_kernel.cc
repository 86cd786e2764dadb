// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "cc/data/fid.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

class SwitchSlotOp : public OpKernel {
 public:
  explicit SwitchSlotOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    int64_t slot;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("slot", &slot));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("fid_version", &version_));
    OP_REQUIRES(ctx, version_ == 1 || version_ == 2,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": fid_version ", version_, "; use 1 or 2.")));
    OP_REQUIRES_OK(ctx, ToStatus([&] { slot_bits_ = data::MakeFid(static_cast<int>(version_), slot, 0); }));
  }

  void Compute(OpKernelContext* ctx) override {
    const auto fids = ctx->input(0).flat<int64_t>();
    Tensor* switched;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(0).shape(), &switched));
    auto out = switched->flat<int64_t>();
    for (int64_t i = 0; i < fids.size(); ++i) {
      const auto fid = static_cast<uint64_t>(fids(i));
      const uint64_t signature = version_ == 1 ? data::V1Signature(fid) : data::V2Signature(fid);
      out(i) = static_cast<int64_t>(slot_bits_ | signature);
    }
  }

 private:
  int64_t version_ = 2;
  uint64_t slot_bits_ = 0;
};

REGISTER_KERNEL_BUILDER(Name("MonolithSwitchSlot").Device(::tensorflow::DEVICE_CPU), SwitchSlotOp);

}  // namespace
}  // namespace monolith
