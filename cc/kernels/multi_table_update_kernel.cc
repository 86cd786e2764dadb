// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/batch_update.h"
#include "cc/kernels/learning_rates.h"
#include "cc/kernels/looked_up_input.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/stacked_ids.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::core::RefCountPtr;

RowRun RunOf(const IdGroup& group, const float* values) {
  return {group.ids, group.num_ids, values + group.value_offset};
}

// Inputs 0 to 3 are the same for all updates: table, id, id_split, value.
class MultiTableUpdateOp : public OpKernel {
 public:
  enum Input { kTable = 0, kId = 1, kIdSplit = 2, kValue = 3 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    StackedIds stacked;
    OP_REQUIRES_OK(ctx, ReadStackedIds(ctx, kId, kIdSplit, resource->tables(), false, &stacked));
    const int64_t num_values = ctx->input(kValue).NumElements();
    OP_REQUIRES(ctx, num_values == stacked.num_values,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": value has ", num_values,
                                                        " floats, but the ids need ", stacked.num_values,
                                                        "; pass a row as wide as its table for every id.")));
    OP_REQUIRES_OK(ctx, Update(ctx, resource.get(), stacked, ctx->input(kValue).flat<float>().data()));
    ctx->set_output(0, ctx->input(kTable));
  }

 protected:
  virtual absl::Status Update(OpKernelContext* ctx, MultiTableResource* resource, const StackedIds& stacked,
                              const float* values) = 0;
};

class MultiTableOptimizeOp : public MultiTableUpdateOp {
 public:
  enum Input { kLearningRate = 4, kUpdateTime = 5, kGlobalStep = 6, kLookedUp = 7 };

  explicit MultiTableOptimizeOp(OpKernelConstruction* ctx) : MultiTableUpdateOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("enable_dedup", &dedup_));
  }

 private:
  absl::Status Update(OpKernelContext* ctx, MultiTableResource* resource, const StackedIds& stacked,
                      const float* values) override {
    MultiTable& tables = resource->tables();
    const float* rates = nullptr;
    TF_RETURN_IF_ERROR(ReadLearningRates(ctx, kLearningRate, tables, &rates));
    int64_t update_ts, step;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, kUpdateTime, "update_time", &update_ts));
    TF_RETURN_IF_ERROR(ReadScalar(ctx, kGlobalStep, "global_step", &step));
    const float* looked_up;
    TF_RETURN_IF_ERROR(ReadLookedUp(ctx, kLookedUp, stacked.num_values, &looked_up));
    TF_RETURN_IF_ERROR(CheckSteps(
        stacked, [&](int t) -> const EmbeddingTable& { return tables.table(t); }, step, looked_up != nullptr));
    // However often a fid occurs in the batch, the filter counts it once a step if its gradients are summed.
    const StepFor step_for = dedup_ ? StepFor::kEachFid : StepFor::kEachOccurrence;
    return RunParts(ctx, stacked, PartsOf::kFids, [&](const IdGroup& group, int part, int num_parts) {
      RowRun run = RunOf(group, values);
      if (looked_up != nullptr) run.looked_up = looked_up + group.value_offset;
      OptimizePart(&tables.table(group.table), {run}, step_for, part, num_parts,
                   {rates + group.rate_offset, update_ts, step, resource->filter()});
    });
  }

  bool dedup_;
};

// Assign and assign-add, which differ in one call.
class MultiTableAssignOp : public MultiTableUpdateOp {
 public:
  enum Input { kUpdateTime = 4 };
  explicit MultiTableAssignOp(OpKernelConstruction* ctx)
      : MultiTableUpdateOp(ctx),
        write_(type_string() == "MonolithMultiHashTableAssignAdd" ? Write::kAssignAdd : Write::kAssign) {}

 private:
  absl::Status Update(OpKernelContext* ctx, MultiTableResource* resource, const StackedIds& stacked,
                      const float* values) override {
    int64_t update_ts;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, kUpdateTime, "update_time", &update_ts));
    return RunParts(ctx, stacked, PartsOf::kFids, [&](const IdGroup& group, int part, int num_parts) {
      WritePart(&resource->tables().table(group.table), RunOf(group, values), write_, part, num_parts, update_ts,
                resource->filter());
    });
  }

  const Write write_;
};

class MultiTableReinitializeOp : public OpKernel {
 public:
  enum Input { kTable = 0, kTableName = 1, kId = 2 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    ::tensorflow::tstring name;
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, kTableName, "table_name", &name));
    const auto ids = ctx->input(kId).flat<int64_t>();
    ::tensorflow::Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, ctx->input(kId).shape(), &output));
    auto status = output->flat<int32_t>();
    const int table = resource->tables().IndexOf(std::string(name));
    if (table < 0) {
      status.setConstant(-1);
    } else {
      const int64_t now = ctx->env()->NowSeconds();
      OP_REQUIRES_OK(ctx, ToStatus([&] {
                       resource->tables().table(table).Reinitialize(ids.data(), ids.size(), now, status.data());
                     }));
    }
    ctx->set_output(0, ctx->input(kTable));
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableOptimize").Device(::tensorflow::DEVICE_CPU), MultiTableOptimizeOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableOptimizeDelayed").Device(::tensorflow::DEVICE_CPU),
                        MultiTableOptimizeOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableAssign").Device(::tensorflow::DEVICE_CPU), MultiTableAssignOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableAssignAdd").Device(::tensorflow::DEVICE_CPU), MultiTableAssignOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableReinitialize").Device(::tensorflow::DEVICE_CPU),
                        MultiTableReinitializeOp);

}  // namespace
}  // namespace monolith
