// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/gradient_sum.h"
#include "cc/kernels/learning_rates.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/stacked_ids.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::core::RefCountPtr;

// The rows of one part of a group: of a fid all occurrences, in order, so that every fid is one thread's.
struct Rows {
  std::vector<int64_t> fids;
  std::vector<const float*> values;
};

Rows SelectPart(const IdGroup& group, int part, int num_parts, const float* values, int dim) {
  Rows rows;
  rows.fids.reserve(group.num_ids / num_parts + group.num_ids / 16);
  rows.values.reserve(rows.fids.capacity());
  for (int64_t i = 0; i < group.num_ids; ++i) {
    if (num_parts > 1 && PartOfFid(group.ids[i], num_parts) != part) continue;
    rows.fids.push_back(group.ids[i]);
    rows.values.push_back(values + group.value_offset + i * dim);
  }
  return rows;
}

// Inputs 0 to 3 are the same for all updates: table, id, id_split, value.
class MultiTableUpdateOp : public OpKernel {
 public:
  enum Input { kTable = 0, kId = 1, kIdSplit = 2, kValue = 3 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindMultiTable(ctx, &resource));
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
  enum Input { kLearningRate = 4, kUpdateTime = 5, kGlobalStep = 6 };

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
    return RunParts(ctx, stacked, PartsOf::kFids, [&](const IdGroup& group, int part, int num_parts) {
      EmbeddingTable& table = tables.table(group.table);
      const float* rate = rates + group.rate_offset;
      const float* rows = values + group.value_offset;
      if (dedup_) {
        const GradientSum sum(group.ids, group.num_ids, rows, table.dim(), part, num_parts);
        // The filter counts a fid once a step, however often it occurs in the batch.
        table.Optimize(sum.fids().data(), sum.fids().size(), sum.gradients().data(), nullptr, rate, update_ts, step,
                       resource->filter());
      } else {
        const Rows own = SelectPart(group, part, num_parts, values, table.dim());
        table.Optimize(own.fids.data(), own.fids.size(), own.values.data(), nullptr, rate, update_ts, step,
                       resource->filter());
      }
    });
  }

  bool dedup_;
};

// Assign and assign-add, which differ in one call.
class MultiTableAssignOp : public MultiTableUpdateOp {
 public:
  enum Input { kUpdateTime = 4 };
  explicit MultiTableAssignOp(OpKernelConstruction* ctx)
      : MultiTableUpdateOp(ctx), add_(type_string() == "MonolithMultiHashTableAssignAdd") {}

 private:
  absl::Status Update(OpKernelContext* ctx, MultiTableResource* resource, const StackedIds& stacked,
                      const float* values) override {
    int64_t update_ts;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, kUpdateTime, "update_time", &update_ts));
    return RunParts(ctx, stacked, PartsOf::kFids, [&](const IdGroup& group, int part, int num_parts) {
      EmbeddingTable& table = resource->tables().table(group.table);
      const Rows own = SelectPart(group, part, num_parts, values, table.dim());
      std::vector<float> packed(own.fids.size() * table.dim());
      for (size_t i = 0; i < own.values.size(); ++i) {
        std::copy(own.values[i], own.values[i] + table.dim(), packed.begin() + i * table.dim());
      }
      const auto apply = add_ ? &EmbeddingTable::AssignAdd : &EmbeddingTable::Assign;
      (table.*apply)(own.fids.data(), own.fids.size(), packed.data(), update_ts, resource->filter());
    });
  }

  const bool add_;
};

class MultiTableReinitializeOp : public OpKernel {
 public:
  enum Input { kTable = 0, kTableName = 1, kId = 2 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindMultiTable(ctx, &resource));
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
      resource->tables().table(table).Reinitialize(ids.data(), ids.size(), now, status.data());
    }
    ctx->set_output(0, ctx->input(kTable));
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableOptimize").Device(::tensorflow::DEVICE_CPU), MultiTableOptimizeOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableAssign").Device(::tensorflow::DEVICE_CPU), MultiTableAssignOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableAssignAdd").Device(::tensorflow::DEVICE_CPU), MultiTableAssignOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableReinitialize").Device(::tensorflow::DEVICE_CPU),
                        MultiTableReinitializeOp);

}  // namespace
}  // namespace monolith
