// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
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
using ::tensorflow::Tensor;
using ::tensorflow::tstring;
using ::tensorflow::core::RefCountPtr;

class LookupOp : public OpKernel {
 public:
  enum Input { kTable = 0, kIds = 1 };

  explicit LookupOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("dim_size", &dim_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_multi_threads", &use_multi_threads_));
  }

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<TableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    const EmbeddingTable& table = resource->table();
    OP_REQUIRES(
        ctx, table.dim() == dim_,
        absl::InvalidArgumentError(absl::StrCat(type_string(), ": dim_size is ", dim_, ", but table '",
                                                table.config().name, "' has dim ", table.dim(), "; pass that.")));
    const auto ids = ctx->input(kIds).flat<int64_t>();
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {ids.size(), dim_}, &output));
    float* rows = output->flat<float>().data();
    HitRates hit_rates(table);
    const auto look_up = [&](const IdGroup& group, int part, int num_parts) {
      LookupRows(table, group, part, num_parts, rows, &hit_rates);
    };
    StackedIds stacked;
    stacked.groups.push_back({0, ids.data(), ids.size(), 0, 0});
    if (use_multi_threads_) {
      OP_REQUIRES_OK(ctx, RunParts(ctx, stacked, PartsOf::kRows, look_up));
    } else {
      OP_REQUIRES_OK(ctx, ToStatus([&] { look_up(stacked.groups[0], 0, 1); }));
    }
    hit_rates.Emit(ctx);
  }

 private:
  int64_t dim_;
  bool use_multi_threads_;
};

class LookupEntryOp : public OpKernel {
 public:
  enum Input { kTable = 0, kIds = 1 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<TableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    const auto ids = ctx->input(kIds).flat<int64_t>();
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {ids.size()}, &output));
    auto entries = output->flat<tstring>();
    OP_REQUIRES_OK(ctx, ToStatus([&] {
                     for (int64_t i = 0; i < ids.size(); ++i) entries(i) = resource->table().LookupEntry(ids(i));
                   }));
  }
};

class LookupGradientOp : public OpKernel {
 public:
  enum Input { kIdIndices = 0, kIdValues = 1, kInputGrads = 2 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const Tensor& indices = ctx->input(kIdIndices);
    const Tensor& values = ctx->input(kIdValues);
    const Tensor& grads = ctx->input(kInputGrads);
    OP_REQUIRES_OK(ctx, Check(indices, values, grads));
    const int64_t num_ids = values.NumElements(), dim = grads.dim_size(1);
    Tensor* output;
    ctx->set_output(0, values);
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, {num_ids, dim}, &output));
    const float* from = grads.flat<float>().data();
    float* to = output->flat<float>().data();
    for (int64_t i = 0; i < num_ids; ++i) {
      const int64_t row = indices.matrix<int64_t>()(i, 0);
      OP_REQUIRES(ctx, row >= 0 && row < grads.dim_size(0),
                  absl::InvalidArgumentError(absl::StrCat(type_string(), ": id_indices[", i, ", 0] is ", row,
                                                          ", but input_grads has ", grads.dim_size(0),
                                                          " rows; pass the row of each id.")));
      std::copy_n(from + row * dim, dim, to + i * dim);
    }
  }

 private:
  absl::Status Check(const Tensor& indices, const Tensor& values, const Tensor& grads) const {
    if (indices.dims() != 2 || values.dims() != 1 || grads.dims() != 2 || indices.dim_size(1) < 1) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": id_indices is ", indices.shape().DebugString(),
                                                     ", id_values ", values.shape().DebugString(), ", input_grads ",
                                                     grads.shape().DebugString(),
                                                     "; pass [ids, at least 1], [ids] and [rows, dim]."));
    }
    if (indices.dim_size(0) != values.dim_size(0)) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": id_indices has ", indices.dim_size(0),
                                                     " rows for ", values.dim_size(0),
                                                     " id_values; pass the indices of every id."));
    }
    return absl::OkStatus();
  }
};

class SizeOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<TableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {}, &output));
    output->scalar<int64_t>()() = static_cast<int64_t>(resource->table().size());
  }
};

class SaveAsTensorOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<TableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    int32_t shard, num_shards;
    int64_t limit, offset;
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "shard_idx", &shard));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "num_shards", &num_shards));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "limit", &limit));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "offset", &offset));
    uint64_t position = static_cast<uint64_t>(offset);
    std::vector<std::string> entries;
    OP_REQUIRES_OK(ctx, ToStatus([&] { resource->table().Scan(shard, num_shards, limit, &position, &entries); }));
    Tensor *new_offset, *output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {}, &new_offset));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, {static_cast<int64_t>(entries.size())}, &output));
    new_offset->scalar<int64_t>()() = static_cast<int64_t>(position);
    std::copy(entries.begin(), entries.end(), output->flat<tstring>().data());
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithHashTableLookup").Device(::tensorflow::DEVICE_CPU), LookupOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableLookupEntry").Device(::tensorflow::DEVICE_CPU), LookupEntryOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableLookupGradient").Device(::tensorflow::DEVICE_CPU), LookupGradientOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableSize").Device(::tensorflow::DEVICE_CPU), SizeOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashTableSaveAsTensor").Device(::tensorflow::DEVICE_CPU), SaveAsTensorOp);

}  // namespace
}  // namespace monolith
