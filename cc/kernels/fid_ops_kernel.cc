// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/data/config_text.h"
#include "cc/data/fid.h"
#include "cc/data/fid_ops.h"
#include "cc/kernels/record_op.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

absl::Status CheckVector(OpKernelContext* ctx, int input, const char* name) {
  if (ctx->input(input).dims() == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string(), ": ", name, " has shape ",
                                                 ctx->input(input).shape().DebugString(), "; pass a vector."));
}

// Splits that were checked against the number of values.
template <typename Split>
absl::Status CheckColumn(OpKernelContext* ctx, int splits, const char* splits_name, int values,
                         const char* values_name) {
  TF_RETURN_IF_ERROR(CheckVector(ctx, splits, splits_name));
  TF_RETURN_IF_ERROR(CheckVector(ctx, values, values_name));
  const auto flat = ctx->input(splits).flat<Split>();
  return NamingOp(ctx->op_kernel().type_string(), ToStatus([&] {
                    data::CheckSplits(splits_name, flat.data(), flat.size(), ctx->input(values).NumElements());
                  }));
}

template <typename Split>
class FeatureCombineOp : public OpKernel {
 public:
  explicit FeatureCombineOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    const auto slot = Attr<int64_t>(ctx, "slot");
    ConstructParts(ctx, [&] { slot_bits_ = data::MakeFid(2, slot, 0); });
  }

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, CheckColumn<Split>(ctx, 0, "splits1", 1, "fids1"));
    OP_REQUIRES_OK(ctx, CheckColumn<Split>(ctx, 2, "splits2", 3, "fids2"));
    const auto splits1 = ctx->input(0).flat<Split>(), splits2 = ctx->input(2).flat<Split>();
    OP_REQUIRES(
        ctx, splits1.size() == splits2.size(),
        absl::InvalidArgumentError(absl::StrCat(type_string(), ": the columns have ", splits1.size() - 1, " and ",
                                                splits2.size() - 1, " rows; combine columns of one batch.")));
    const auto fids1 = ctx->input(1).flat<int64_t>(), fids2 = ctx->input(3).flat<int64_t>();
    Tensor *splits, *fids;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {static_cast<int64_t>(splits1.size())}, &splits));
    auto out_splits = splits->flat<Split>();
    __int128 total = 0;
    for (int64_t i = 0; i < splits1.size(); ++i) {
      if (i > 0) total += static_cast<__int128>(splits1(i) - splits1(i - 1)) * (splits2(i) - splits2(i - 1));
      OP_REQUIRES(
          ctx, total <= std::numeric_limits<Split>::max() && total <= kMostPairs,
          absl::InvalidArgumentError(absl::StrCat(type_string(), ": the batch has more pairs than row splits of ",
                                                  8 * sizeof(Split), " bits hold; combine shorter columns.")));
      out_splits(i) = static_cast<Split>(total);
    }
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, {static_cast<int64_t>(total)}, &fids));
    auto out = fids->flat<int64_t>();
    int64_t at = 0;
    for (int64_t row = 0; row + 1 < splits1.size(); ++row) {
      for (int64_t i = splits1(row); i < splits1(row + 1); ++i) {
        for (int64_t j = splits2(row); j < splits2(row + 1); ++j) {
          out(at++) = static_cast<int64_t>(data::CombineFids(slot_bits_, fids1(i), fids2(j)));
        }
      }
    }
  }

 private:
  static constexpr int64_t kMostPairs = int64_t{1} << 40;
  uint64_t slot_bits_ = 0;
};

template <typename Split>
class GenFidMaskOp : public OpKernel {
 public:
  explicit GenFidMaskOp(OpKernelConstruction* ctx) : OpKernel(ctx), fid_(Attr<int64_t>(ctx, "fid")) {}

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, CheckColumn<Split>(ctx, 0, "splits", 1, "fids"));
    const auto splits = ctx->input(0).flat<Split>();
    const auto fids = ctx->input(1).flat<int64_t>();
    Tensor* mask;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {static_cast<int64_t>(splits.size()) - 1}, &mask));
    auto out = mask->flat<float>();
    for (int64_t row = 0; row < out.size(); ++row) {
      const int64_t* end = fids.data() + splits(row + 1);
      out(row) = std::find(fids.data() + splits(row), end, fid_) != end;
    }
  }

 private:
  const int64_t fid_;
};

template <typename T>
class MapIdOp : public OpKernel {
 public:
  explicit MapIdOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    const auto from = Attr<std::vector<int64_t>>(ctx, "from_value"), to = Attr<std::vector<int64_t>>(ctx, "to_value");
    OP_REQUIRES(ctx, from.size() == to.size(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": from_value has ", from.size(),
                                                        " values and to_value ", to.size(), "; give one for each.")));
    for (size_t i = 0; i < from.size(); ++i) {
      OP_REQUIRES_OK(ctx, CheckFits(from[i]));
      OP_REQUIRES_OK(ctx, CheckFits(to[i]));
      OP_REQUIRES(ctx, map_.try_emplace(static_cast<T>(from[i]), static_cast<T>(to[i])).second,
                  absl::InvalidArgumentError(absl::StrCat(type_string(), ": from_value has ", from[i], " twice.")));
    }
    const auto other = Attr<int64_t>(ctx, "default");
    OP_REQUIRES_OK(ctx, CheckFits(other));
    default_ = static_cast<T>(other);
  }

  void Compute(OpKernelContext* ctx) override {
    const auto values = ctx->input(0).flat<T>();
    Tensor* mapped;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(0).shape(), &mapped));
    auto out = mapped->flat<T>();
    for (int64_t i = 0; i < values.size(); ++i) {
      const auto it = map_.find(values(i));
      out(i) = it == map_.end() ? default_ : it->second;
    }
  }

 private:
  absl::Status CheckFits(int64_t value) const {
    if (static_cast<int64_t>(static_cast<T>(value)) == value) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", value, " does not fit the tensor's ",
                                                   8 * sizeof(T), " bits; map a tensor of int64."));
  }

  std::unordered_map<T, T> map_;
  T default_ = 0;
};

class ExtractFidOp : public OpKernel {
 public:
  explicit ExtractFidOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    const auto slot = Attr<int64_t>(ctx, "slot");
    ConstructParts(ctx, [&] { slot_bits_ = data::MakeFid(2, slot, 0); });
  }

  void Compute(OpKernelContext* ctx) override {
    const auto fids = ctx->input(0).flat<int64_t>();
    Tensor* extracted;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(0).shape(), &extracted));
    auto out = extracted->flat<int64_t>();
    for (int64_t i = 0; i < fids.size(); ++i) {
      out(i) = static_cast<int64_t>(data::ExtractFid(slot_bits_, static_cast<uint64_t>(fids(i))));
    }
  }

 private:
  uint64_t slot_bits_ = 0;
};

#define REGISTER_SPLITS(name, op, type) \
  REGISTER_KERNEL_BUILDER(Name(name).Device(DEVICE_CPU).TypeConstraint<type>("Tsplits"), op<type>)
#define REGISTER_MAP_ID(type) \
  REGISTER_KERNEL_BUILDER(Name("MapId").Device(DEVICE_CPU).TypeConstraint<type>("T"), MapIdOp<type>)

REGISTER_SPLITS("FeatureCombine", FeatureCombineOp, int32_t);
REGISTER_SPLITS("FeatureCombine", FeatureCombineOp, int64_t);
REGISTER_SPLITS("MonolithGenFidMask", GenFidMaskOp, int32_t);
REGISTER_SPLITS("MonolithGenFidMask", GenFidMaskOp, int64_t);
REGISTER_MAP_ID(int32_t);
REGISTER_MAP_ID(int64_t);
REGISTER_KERNEL_BUILDER(Name("ExtractFid").Device(DEVICE_CPU), ExtractFidOp);

#undef REGISTER_SPLITS
#undef REGISTER_MAP_ID

}  // namespace
}  // namespace monolith
