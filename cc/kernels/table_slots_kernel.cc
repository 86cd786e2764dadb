// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/batch_update.h"
#include "cc/kernels/learning_rates.h"
#include "cc/kernels/looked_up_input.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/stacked_ids.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpInputList;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::OpOutputList;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;
using ::tensorflow::core::RefCountPtr;

// The ids of every slot, as groups in the order of the slots.
class SlotsOp : public OpKernel {
 public:
  explicit SlotsOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    int64_t num_slots;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_slots", &num_slots));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("tables", &tables_));
    OP_REQUIRES(ctx, static_cast<int64_t>(tables_.size()) == num_slots,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": tables has ", tables_.size(),
                                                        " elements for ", num_slots, " slots; give one for each.")));
  }

 protected:
  absl::Status ReadGroups(OpKernelContext* ctx, const MultiTable& tables, StackedIds* stacked) const {
    OpInputList ids;
    TF_RETURN_IF_ERROR(ctx->input_list("ids", &ids));
    std::vector<int64_t> rate_offsets(1, 0);
    for (int t = 0; t < tables.num_tables(); ++t) {
      rate_offsets.push_back(rate_offsets.back() + tables.table(t).num_slices());
    }
    for (int i = 0; i < ids.size(); ++i) {
      if (tables_[i] < 0 || tables_[i] >= tables.num_tables()) {
        return absl::InvalidArgumentError(absl::StrCat(type_string(), ": slot ", i, " asks for table ", tables_[i],
                                                       ", but there are ", tables.num_tables(),
                                                       " tables; pass a position in the order of their names."));
      }
      const auto flat = ids[i].flat<int64_t>();
      stacked->groups.push_back({tables_[i], flat.data(), flat.size(), 0, rate_offsets[tables_[i]]});
    }
    return absl::OkStatus();
  }

  static size_t SlotOf(const StackedIds& stacked, const IdGroup& group) { return &group - stacked.groups.data(); }
  const std::vector<int>& tables() const { return tables_; }

 private:
  std::vector<int> tables_;
};

class LookupSlotsOp : public SlotsOp {
 public:
  explicit LookupSlotsOp(OpKernelConstruction* ctx) : SlotsOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("dims", &dims_));
    OP_REQUIRES(ctx, dims_.size() == tables().size(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": dims has ", dims_.size(), " elements for ",
                                                        tables().size(), " slots; give one for each.")));
  }

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    const MultiTable& tables = resource->tables();
    StackedIds stacked;
    OP_REQUIRES_OK(ctx, ReadGroups(ctx, tables, &stacked));
    OpOutputList embeddings;
    OP_REQUIRES_OK(ctx, ctx->output_list("embeddings", &embeddings));
    std::vector<float*> values;
    for (size_t i = 0; i < stacked.groups.size(); ++i) {
      const IdGroup& group = stacked.groups[i];
      const EmbeddingTable& table = tables.table(group.table);
      OP_REQUIRES(ctx, table.dim() == dims_[i],
                  absl::InvalidArgumentError(absl::StrCat(type_string(), ": dims of slot ", i, " is ", dims_[i],
                                                          ", but table '", table.config().name, "' has dim ",
                                                          table.dim(), "; pass the widths of the tables.")));
      Tensor* output;
      OP_REQUIRES_OK(ctx, embeddings.allocate(i, TensorShape({group.num_ids, dims_[i]}), &output));
      values.push_back(output->flat<float>().data());
    }
    HitRates hit_rates(tables);
    OP_REQUIRES_OK(ctx, RunParts(ctx, stacked, PartsOf::kRows, [&](const IdGroup& group, int part, int num_parts) {
                     LookupRows(tables.table(group.table), group, part, num_parts, values[SlotOf(stacked, group)],
                                &hit_rates);
                   }));
    hit_rates.Emit(ctx);
  }

 private:
  std::vector<int> dims_;
};

class OptimizeSlotsOp : public SlotsOp {
 public:
  explicit OptimizeSlotsOp(OpKernelConstruction* ctx) : SlotsOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("enable_dedup", &dedup_));
    std::vector<int> sorted = tables();
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    OP_REQUIRES(ctx, twice == sorted.end(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": tables has ", *twice,
                                                        " twice; put all ids of a table into one slot.")));
  }

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    OP_REQUIRES_OK(ctx, Update(ctx, resource.get()));
    ctx->set_output(0, ctx->input(0));
  }

 private:
  absl::Status Update(OpKernelContext* ctx, MultiTableResource* resource) const {
    MultiTable& tables = resource->tables();
    StackedIds stacked;
    TF_RETURN_IF_ERROR(ReadGroups(ctx, tables, &stacked));
    std::vector<RowRun> runs;
    TF_RETURN_IF_ERROR(ReadGradients(ctx, tables, stacked, &runs));
    TF_RETURN_IF_ERROR(ReadLookedUp(ctx, tables, &runs));
    const int scalars = 1 + 2 * static_cast<int>(stacked.groups.size());
    const float* rates = nullptr;
    int64_t update_ts, step;
    TF_RETURN_IF_ERROR(ReadLearningRates(ctx, scalars, tables, &rates));
    TF_RETURN_IF_ERROR(ReadScalar(ctx, scalars + 1, "update_time", &update_ts));
    TF_RETURN_IF_ERROR(ReadScalar(ctx, scalars + 2, "global_step", &step));
    const bool has_looked_up =
        std::any_of(runs.begin(), runs.end(), [](const RowRun& run) { return run.looked_up != nullptr; });
    TF_RETURN_IF_ERROR(
        CheckSteps(stacked, [&](int t) -> const EmbeddingTable& { return tables.table(t); }, step, has_looked_up));
    // However often a fid occurs in the batch, the filter counts it once a step if its gradients are summed.
    const StepFor step_for = dedup_ ? StepFor::kEachFid : StepFor::kEachOccurrence;
    return RunParts(ctx, stacked, PartsOf::kFids, [&](const IdGroup& group, int part, int num_parts) {
      OptimizePart(&tables.table(group.table), {runs[SlotOf(stacked, group)]}, step_for, part, num_parts,
                   {rates + group.rate_offset, update_ts, step, resource->filter()});
    });
  }

  absl::Status ReadGradients(OpKernelContext* ctx, const MultiTable& tables, const StackedIds& stacked,
                             std::vector<RowRun>* runs) const {
    OpInputList gradients;
    TF_RETURN_IF_ERROR(ctx->input_list("gradients", &gradients));
    for (int i = 0; i < gradients.size(); ++i) {
      const IdGroup& group = stacked.groups[i];
      const int64_t needed = group.num_ids * tables.table(group.table).dim();
      if (gradients[i].NumElements() != needed) {
        return absl::InvalidArgumentError(
            absl::StrCat(type_string(), ": the gradients of slot ", i, " have ", gradients[i].NumElements(),
                         " floats, but ", group.num_ids, " ids of table '", tables.table(group.table).config().name,
                         "' need ", needed, "; pass a row as wide as its table for every id."));
      }
      runs->push_back({group.ids, group.num_ids, gradients[i].flat<float>().data()});
    }
    return absl::OkStatus();
  }

  absl::Status ReadLookedUp(OpKernelContext* ctx, const MultiTable& tables, std::vector<RowRun>* runs) const {
    int begin, end;
    TF_RETURN_IF_ERROR(InputRange("looked_up", &begin, &end));
    if (begin == end) return absl::OkStatus();
    const int num_slots = static_cast<int>(runs->size());
    if (end - begin != num_slots) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": looked_up has ", end - begin,
                                                     " tensors; pass none or one for each of ", num_slots, " slots."));
    }
    for (int i = 0; i < num_slots; ++i) {
      RowRun& run = (*runs)[i];
      const int64_t needed = run.n * tables.table(this->tables()[i]).dim();
      TF_RETURN_IF_ERROR(monolith::ReadLookedUp(ctx, begin + i, needed, &run.looked_up));
    }
    return absl::OkStatus();
  }

  bool dedup_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableLookupSlots").Device(::tensorflow::DEVICE_CPU), LookupSlotsOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableOptimizeSlots").Device(::tensorflow::DEVICE_CPU), OptimizeSlotsOp);

}  // namespace
}  // namespace monolith
