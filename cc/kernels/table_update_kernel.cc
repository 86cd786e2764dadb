// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "cc/hash_table/batch_update.h"
#include "cc/kernels/looked_up_input.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/stacked_ids.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::core::RefCountPtr;

// Inputs 0 to 2 are the same for all updates.
class UpdateOp : public OpKernel {
 public:
  enum Input { kTable = 0, kIds = 1, kUpdates = 2 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<TableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    const auto ids = ctx->input(kIds).flat<int64_t>();
    const auto updates = ctx->input(kUpdates).flat<float>();
    const EmbeddingTable& table = resource->table();
    OP_REQUIRES(ctx, updates.size() == ids.size() * table.dim(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": id_updates has ", updates.size(),
                                                        " floats, but ", ids.size(), " ids of table '",
                                                        table.config().name, "' need ", ids.size() * table.dim(),
                                                        "; pass a row of ", table.dim(), " for each id.")));
    OP_REQUIRES_OK(ctx, Update(ctx, resource.get(), {ids.data(), ids.size(), updates.data()}));
    ctx->set_output(0, ctx->input(kTable));
  }

 protected:
  virtual absl::Status Update(OpKernelContext* ctx, TableResource* resource, const RowRun& rows) = 0;
};

class AssignOp : public UpdateOp {
 public:
  explicit AssignOp(OpKernelConstruction* ctx)
      : UpdateOp(ctx), write_(type_string() == "MonolithHashTableAssignAdd" ? Write::kAssignAdd : Write::kAssign) {}

 private:
  absl::Status Update(OpKernelContext* ctx, TableResource* resource, const RowRun& rows) override {
    int64_t update_ts;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "req_time", &update_ts));
    return ToStatus([&] { WritePart(&resource->table(), rows, write_, 0, 1, update_ts, resource->filter()); });
  }

  const Write write_;
};

class OptimizeOp : public UpdateOp {
 public:
  enum Input { kLearningRate = 3, kLookedUp = 6 };

  explicit OptimizeOp(OpKernelConstruction* ctx) : UpdateOp(ctx) {
    int64_t queue_size;
    bool dedup;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_multi_threads", &use_multi_threads_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("queue_size", &queue_size));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("enable_dedup", &dedup));
    OP_REQUIRES(ctx, queue_size == 0,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": queue_size is ", queue_size,
                                                        "; updates are not deferred, leave it 0.")));
    step_for_ = dedup ? StepFor::kEachFidCountRows : StepFor::kEachOccurrence;
  }

 private:
  absl::Status Update(OpKernelContext* ctx, TableResource* resource, const RowRun& rows) override {
    EmbeddingTable& table = resource->table();
    const auto rates = ctx->input(kLearningRate).flat<float>();
    StepSettings settings{rates.data(), 0, 0, resource->filter()};
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "req_time", &settings.update_ts));
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "global_step", &settings.global_step));
    if (rates.size() != table.num_slices()) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": learning_rate_tensor has ", rates.size(),
                                                     " elements, but table '", table.config().name, "' has ",
                                                     table.num_slices(), " slices; pass one rate for each."));
    }
    RowRun run = rows;
    TF_RETURN_IF_ERROR(ReadLookedUp(ctx, kLookedUp, rows.n * table.dim(), &run.looked_up));
    const auto optimize = [&](const IdGroup&, int part, int num_parts) {
      OptimizePart(&table, {run}, step_for_, part, num_parts, settings);
    };
    StackedIds stacked;
    stacked.groups.push_back({0, rows.fids, rows.n, 0, 0});
    if (use_multi_threads_) return RunParts(ctx, stacked, PartsOf::kFids, optimize);
    return ToStatus([&] { optimize(stacked.groups[0], 0, 1); });
  }

  bool use_multi_threads_;
  StepFor step_for_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithHashTableAssign").Device(::tensorflow::DEVICE_CPU), AssignOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableAssignAdd").Device(::tensorflow::DEVICE_CPU), AssignOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableOptimize").Device(::tensorflow::DEVICE_CPU), OptimizeOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableOptimizeDelayed").Device(::tensorflow::DEVICE_CPU), OptimizeOp);

}  // namespace
}  // namespace monolith
