// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cc/data/fid_filter.h"
#include "cc/data/label_filter.h"
#include "cc/data/value_filter.h"
#include "cc/kernels/record_op.h"

namespace monolith {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernelConstruction;

std::vector<uint64_t> Fids(OpKernelConstruction* ctx, const char* name) {
  const auto bits = Attr<std::vector<int64_t>>(ctx, name);
  return std::vector<uint64_t>(bits.begin(), bits.end());
}

class SetFilterOp : public RecordFilterOp {
 public:
  explicit SetFilterOp(OpKernelConstruction* ctx) : RecordFilterOp(ctx) {
    data::FidFilterConfig config;
    config.filter_fids = Fids(ctx, "filter_fids");
    config.has_fids = Fids(ctx, "has_fids");
    config.select_fids = Fids(ctx, "select_fids");
    config.has_actions = Attr<std::vector<int64_t>>(ctx, "has_actions");
    config.req_time_min = Attr<int64_t>(ctx, "req_time_min");
    config.select_slots = Attr<std::vector<int64_t>>(ctx, "select_slots");
    ConstructParts(ctx, [&] { filter_ = data::NewFidFilter(type(), config); });
  }
};

class ValueFilterOp : public RecordFilterOp {
 public:
  explicit ValueFilterOp(OpKernelConstruction* ctx) : RecordFilterOp(ctx) {
    const auto field = Attr<std::string>(ctx, "field_name");
    data::ValueKind kind = data::ValueKind::kInt;
    ConstructParts(ctx, [&] { kind = data::LineIdKind(field); });
    data::Operands operands;
    if (ctx->status().ok()) OP_REQUIRES_OK(ctx, ReadOperands(ctx, kind, &operands));
    ConstructParts(ctx, [&] {
      const data::LineIdTest test(field, Attr<std::string>(ctx, "op"), std::move(operands),
                                  Attr<bool>(ctx, "keep_empty"));
      filter_ = data::NewValueFilter(type(), test);
    });
  }
};

class FeatureValueFilterOp : public RecordFilterOp {
 public:
  explicit FeatureValueFilterOp(OpKernelConstruction* ctx) : RecordFilterOp(ctx) {
    const auto field_type = Attr<std::string>(ctx, "field_type");
    data::ValueKind kind = data::ValueKind::kInt;
    ConstructParts(ctx, [&] { kind = data::ColumnKind(field_type); });
    data::Operands operands;
    if (ctx->status().ok()) OP_REQUIRES_OK(ctx, ReadOperands(ctx, kind, &operands));
    ConstructParts(ctx, [&] {
      filter_ =
          data::NewColumnValueFilter(Attr<std::string>(ctx, "field_name"), field_type, Attr<std::string>(ctx, "op"),
                                     std::move(operands), Attr<bool>(ctx, "keep_empty"));
    });
  }
};

class FilterByLabelOp : public RecordFilterOp {
 public:
  explicit FilterByLabelOp(OpKernelConstruction* ctx) : RecordFilterOp(ctx) {
    ConstructParts(ctx, [&] {
      filter_ = data::NewLabelFilter(type(), Attr<std::vector<float>>(ctx, "label_threshold"),
                                     Attr<bool>(ctx, "filter_equal"));
    });
  }
};

class IsNotEmpty : public data::RecordFilter {
 public:
  bool Keep(std::string_view record, data::UniformSource*) const override { return !record.empty(); }
};

class HasVariantOp : public RecordFilterOp {
 public:
  explicit HasVariantOp(OpKernelConstruction* ctx) : RecordFilterOp(ctx) { filter_ = std::make_unique<IsNotEmpty>(); }
};

REGISTER_KERNEL_BUILDER(Name("SetFilter").Device(DEVICE_CPU), SetFilterOp);
REGISTER_KERNEL_BUILDER(Name("ValueFilter").Device(DEVICE_CPU), ValueFilterOp);
REGISTER_KERNEL_BUILDER(Name("FeatureValueFilter").Device(DEVICE_CPU), FeatureValueFilterOp);
REGISTER_KERNEL_BUILDER(Name("FilterByLabel").Device(DEVICE_CPU), FilterByLabelOp);
REGISTER_KERNEL_BUILDER(Name("HasVariant").Device(DEVICE_CPU), HasVariantOp);

}  // namespace
}  // namespace monolith
