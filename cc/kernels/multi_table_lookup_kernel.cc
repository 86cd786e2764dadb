// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/stacked_ids.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::core::RefCountPtr;

enum Input { kTable = 0, kId = 1, kIdSplit = 2 };

class MultiTableLookupOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    const MultiTable& tables = resource->tables();
    StackedIds stacked;
    OP_REQUIRES_OK(ctx, ReadStackedIds(ctx, kId, kIdSplit, tables, true, &stacked));
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {stacked.num_values}, &output));
    float* values = output->flat<float>().data();
    HitRates hit_rates(tables);
    OP_REQUIRES_OK(ctx, RunParts(ctx, stacked, PartsOf::kRows, [&](const IdGroup& group, int part, int num_parts) {
                     LookupRows(tables.table(group.table), group, part, num_parts, values, &hit_rates);
                   }));
    hit_rates.Emit(ctx);
  }
};

class MultiTableLookupEntryOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    const MultiTable& tables = resource->tables();
    StackedIds stacked;
    OP_REQUIRES_OK(ctx, ReadStackedIds(ctx, kId, kIdSplit, tables, false, &stacked));
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(kId).shape(), &output));
    auto entries = output->flat<::tensorflow::tstring>();
    const int64_t* first = ctx->input(kId).flat<int64_t>().data();
    OP_REQUIRES_OK(ctx, ToStatus([&] {
                     for (const IdGroup& group : stacked.groups) {
                       for (int64_t i = 0; i < group.num_ids; ++i) {
                         entries(group.ids + i - first) = tables.table(group.table).LookupEntry(group.ids[i]);
                       }
                     }
                   }));
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableLookup").Device(::tensorflow::DEVICE_CPU), MultiTableLookupOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableLookupEntry").Device(::tensorflow::DEVICE_CPU),
                        MultiTableLookupEntryOp);

}  // namespace
}  // namespace monolith
