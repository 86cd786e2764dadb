// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "absl/strings/str_cat.h"
#include "cc/kernels/emit_timer.h"
#include "cc/kernels/resource_use_op.h"
#include "cc/kernels/scalar_input.h"
#include "cc/monitoring/process_memory.h"
#include "monolith/native_training/runtime/ops/logging_ops.pb.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_op_kernel.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

class TensorsTimestampOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* ctx) override {
    const int count = ctx->num_inputs();
    for (int i = 0; i < count; ++i) ctx->set_output(i, ctx->input(i));
    Tensor* timestamp;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(count, {}, &timestamp));
    timestamp->scalar<int64_t>()() = static_cast<int64_t>(ctx->env()->NowMicros());
  }
};

class MetricV2Op : public OpKernel {
 public:
  explicit MetricV2Op(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::string key, tags;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("key", &key));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("tags", &tags));
    name_ = TimerName(key, tags);
  }

  void Compute(OpKernelContext* ctx) override {
    float value;
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "value", &value));
    EmitTimer(ctx->env(), name_, value);
  }

 private:
  std::string name_;
};

class MachineInfo : public ::tensorflow::ResourceBase {
 public:
  explicit MachineInfo(int64_t mem_limit) : mem_limit(mem_limit) {}
  std::string DebugString() const override { return absl::StrCat("machine with ", mem_limit, " bytes to spare"); }
  const int64_t mem_limit;
};

class MachineInfoOp : public ::tensorflow::ResourceOpKernel<MachineInfo> {
 public:
  explicit MachineInfoOp(OpKernelConstruction* ctx) : ResourceOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("mem_limit", &mem_limit_));
  }

 private:
  absl::Status CreateResource(MachineInfo** resource) override {
    *resource = new MachineInfo(mem_limit_);
    return absl::OkStatus();
  }

  int64_t mem_limit_;
};

class CheckMachineHealthOp : public ResourceUseOp<MachineInfo> {
 public:
  using ResourceUseOp::ResourceUseOp;

 private:
  absl::Status Use(OpKernelContext* ctx, MachineInfo* info) override {
    Tensor* output;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {}, &output));
    const int64_t used = ResidentBytes();
    if (used < info->mem_limit) return absl::OkStatus();
    ::tensorflow::monolith_tf::MachineHealthResult result;
    result.set_status(::tensorflow::monolith_tf::MachineHealthResult::OUT_OF_MEMORY);
    result.set_message(absl::StrCat("the process uses ", used, " bytes, its limit is ", info->mem_limit));
    output->scalar<::tensorflow::tstring>()() = result.SerializeAsString();
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithTensorsTimestamp").Device(::tensorflow::DEVICE_CPU), TensorsTimestampOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMetricV2").Device(::tensorflow::DEVICE_CPU), MetricV2Op);
REGISTER_KERNEL_BUILDER(Name("MonolithMachineInfo").Device(::tensorflow::DEVICE_CPU), MachineInfoOp);
REGISTER_KERNEL_BUILDER(Name("MonolithCheckMachineHealth").Device(::tensorflow::DEVICE_CPU), CheckMachineHealthOp);

}  // namespace
}  // namespace monolith
