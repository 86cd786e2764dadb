// SPDX-License-Identifier: Apache-2.0
// Lookups and updates in the fused layout (cc/hash_table/fused_layout.h), of single tables and of a multi table.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/batch_update.h"
#include "cc/hash_table/fused_layout.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/stacked_ids.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpInputList;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::core::RefCountPtr;

// The tables of one call, kept alive by the resources that they belong to.
class FusedTables {
 public:
  struct Table {
    EmbeddingTable* table;
    AdmissionFilter* filter;
    int64_t rate_offset;  // slices of the tables before it
  };

  absl::Status Find(OpKernelContext* ctx) {
    int begin, end;
    if (!ctx->op_kernel().InputRange("mtable", &begin, &end).ok()) return FindSingles(ctx);
    TF_RETURN_IF_ERROR(FindTable(ctx, &multi_));
    for (int i = 0; i < multi_->tables().num_tables(); ++i) Add(&multi_->tables().table(i), multi_->filter());
    return absl::OkStatus();
  }

  const std::vector<Table>& tables() const { return tables_; }
  const std::vector<int>& dims() const { return dims_; }
  int64_t num_slices() const { return num_slices_; }
  HitRates NewHitRates() const {
    std::vector<const EmbeddingTable*> all;
    for (const Table& each : tables_) all.push_back(each.table);
    return HitRates(std::move(all), multi_ != nullptr);
  }

 private:
  absl::Status FindSingles(OpKernelContext* ctx) {
    OpInputList handles;
    TF_RETURN_IF_ERROR(ctx->input_list("table_handles", &handles));
    singles_.resize(handles.size());
    for (int i = 0; i < handles.size(); ++i) {
      TF_RETURN_IF_ERROR(FindTable(ctx, ::tensorflow::HandleFromInput(ctx, i), &singles_[i]));
      Add(&singles_[i]->table(), singles_[i]->filter());
    }
    return absl::OkStatus();
  }

  void Add(EmbeddingTable* table, AdmissionFilter* filter) {
    tables_.push_back({table, filter, num_slices_});
    dims_.push_back(table->dim());
    num_slices_ += table->num_slices();
  }

  std::vector<RefCountPtr<TableResource>> singles_;
  RefCountPtr<MultiTableResource> multi_;
  std::vector<Table> tables_;
  std::vector<int> dims_;
  int64_t num_slices_ = 0;
};

// Finds the tables and reads the layout, then lets Run do the work.
class FusedOp : public OpKernel {
 public:
  explicit FusedOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_of_shards", &num_shards_));
  }

  void Compute(OpKernelContext* ctx) override {
    FusedTables tables;
    OP_REQUIRES_OK(ctx, tables.Find(ctx));
    const Tensor *ids, *sizes;
    OP_REQUIRES_OK(ctx, ctx->input("ids", &ids));
    OP_REQUIRES_OK(ctx, ctx->input("fused_slot_size", &sizes));
    absl::Status run;
    const absl::Status fits = ToStatus([&] {
      const FusedLayout layout(sizes->flat<int32_t>().data(), sizes->NumElements(), num_shards_, tables.dims(),
                               ids->NumElements());
      run = Run(ctx, tables, layout, *ids);
    });
    OP_REQUIRES(ctx, fits.ok(), absl::Status(fits.code(), absl::StrCat(type_string(), ": ", fits.message())));
    OP_REQUIRES_OK(ctx, run);
  }

 protected:
  virtual absl::Status Run(OpKernelContext* ctx, const FusedTables& tables, const FusedLayout& layout,
                           const Tensor& ids) = 0;

 private:
  int num_shards_;
};

class FusedLookupOp : public FusedOp {
 public:
  enum Output { kEmbeddings = 0, kSplits = 1, kIdOffsets = 2, kEmbeddingOffsets = 3, kIndices = 4 };
  using FusedOp::FusedOp;

 private:
  absl::Status Run(OpKernelContext* ctx, const FusedTables& tables, const FusedLayout& layout,
                   const Tensor& ids) override {
    const int64_t num_offsets = static_cast<int64_t>(layout.parts().size()) + 1;
    Tensor *embeddings, *splits, *id_offsets, *embedding_offsets;
    TF_RETURN_IF_ERROR(ctx->allocate_output(kEmbeddings, {layout.num_values()}, &embeddings));
    TF_RETURN_IF_ERROR(ctx->allocate_output(kSplits, {layout.num_shards()}, &splits));
    TF_RETURN_IF_ERROR(ctx->allocate_output(kIdOffsets, {num_offsets}, &id_offsets));
    TF_RETURN_IF_ERROR(ctx->allocate_output(kEmbeddingOffsets, {num_offsets}, &embedding_offsets));
    ctx->set_output(kIndices, ids);
    layout.WriteValueSplits(splits->flat<int32_t>().data());
    layout.WriteIdOffsets(id_offsets->flat<int32_t>().data());
    layout.WriteValueOffsets(embedding_offsets->flat<int32_t>().data());
    StackedIds stacked;
    for (const FusedLayout::Part& part : layout.parts()) {
      stacked.groups.push_back(
          {part.table, ids.flat<int64_t>().data() + part.id_offset, part.num_ids, part.value_offset, 0});
    }
    float* values = embeddings->flat<float>().data();
    HitRates hit_rates = tables.NewHitRates();
    TF_RETURN_IF_ERROR(RunParts(ctx, stacked, PartsOf::kRows, [&](const IdGroup& group, int part, int num_parts) {
      LookupRows(*tables.tables()[group.table].table, group, part, num_parts, values, &hit_rates);
    }));
    hit_rates.Emit(ctx);
    return absl::OkStatus();
  }
};

class FusedOptimizeOp : public FusedOp {
 public:
  explicit FusedOptimizeOp(OpKernelConstruction* ctx) : FusedOp(ctx) {
    bool accumulate;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("enable_grad_accumulation", &accumulate));
    step_for_ = accumulate ? StepFor::kEachFidCountRows : StepFor::kEachOccurrence;
  }

 private:
  struct Inputs {
    const Tensor *indices, *grads, *id_offsets, *grad_offsets, *rates;
    int64_t update_ts, global_step;
  };

  absl::Status Run(OpKernelContext* ctx, const FusedTables& tables, const FusedLayout& layout,
                   const Tensor& ids) override {
    Inputs inputs;
    TF_RETURN_IF_ERROR(ReadInputs(ctx, tables, ids.NumElements(), &inputs));
    std::vector<std::vector<RowRun>> runs =
        RunsByTable(layout, ids.flat<int64_t>().data(), ids.NumElements(), Offsets(*inputs.id_offsets),
                    inputs.grads->flat<float>().data(), inputs.grads->NumElements(), Offsets(*inputs.grad_offsets));
    StackedIds stacked;
    for (int t = 0; t < layout.num_tables(); ++t) {
      int64_t num_ids = 0;
      for (const RowRun& run : runs[t]) num_ids += run.n;
      stacked.groups.push_back({t, nullptr, num_ids, 0, tables.tables()[t].rate_offset});
    }
    TF_RETURN_IF_ERROR(CheckSteps(
        stacked, [&](int t) -> const EmbeddingTable& { return *tables.tables()[t].table; }, inputs.global_step, false));
    const float* rates = inputs.rates->flat<float>().data();
    TF_RETURN_IF_ERROR(RunParts(ctx, stacked, PartsOf::kFids, [&](const IdGroup& group, int part, int num_parts) {
      const FusedTables::Table& table = tables.tables()[group.table];
      OptimizePart(table.table, runs[group.table], step_for_, part, num_parts,
                   {rates + group.rate_offset, inputs.update_ts, inputs.global_step, table.filter});
    }));
    for (int i = 0; i < ctx->num_outputs(); ++i) ctx->set_output(i, ctx->input(i));
    return absl::OkStatus();
  }

  static PartOffsets Offsets(const Tensor& offsets) { return {offsets.flat<int32_t>().data(), offsets.NumElements()}; }

  absl::Status ReadInputs(OpKernelContext* ctx, const FusedTables& tables, int64_t num_ids, Inputs* inputs) const {
    TF_RETURN_IF_ERROR(ctx->input("indices", &inputs->indices));
    TF_RETURN_IF_ERROR(ctx->input("id_grads", &inputs->grads));
    TF_RETURN_IF_ERROR(ctx->input("id_offsets", &inputs->id_offsets));
    TF_RETURN_IF_ERROR(ctx->input("grad_offsets", &inputs->grad_offsets));
    TF_RETURN_IF_ERROR(ctx->input("learning_rate_tensors", &inputs->rates));
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "req_time", &inputs->update_ts));
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "global_step", &inputs->global_step));
    const int64_t num_indices = inputs->indices->NumElements(), num_rates = inputs->rates->NumElements();
    if (num_indices != 0 && num_indices != num_ids) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": indices has ", num_indices, " elements for ",
                                                     num_ids, " ids; pass what the lookup returned."));
    }
    if (num_rates != tables.num_slices()) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": learning_rate_tensors has ", num_rates,
                                                     " elements, but the tables have ", tables.num_slices(),
                                                     " slices; pass one rate for each, in table order."));
    }
    return absl::OkStatus();
  }

  StepFor step_for_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithHashTableFusedLookup").Device(::tensorflow::DEVICE_CPU), FusedLookupOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableFusedLookup").Device(::tensorflow::DEVICE_CPU), FusedLookupOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableFusedOptimize").Device(::tensorflow::DEVICE_CPU), FusedOptimizeOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableFusedOptimize").Device(::tensorflow::DEVICE_CPU), FusedOptimizeOp);

}  // namespace
}  // namespace monolith
