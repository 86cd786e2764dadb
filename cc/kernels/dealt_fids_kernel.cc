// SPDX-License-Identifier: Apache-2.0
// What a worker does for combined lookups on parameter servers: deal fids out, combine rows, take gradients back.
#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/distribution/dealt_rows.h"
#include "cc/kernels/combined_features.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using distribution::FidsToDeal;
using distribution::Span;
using distribution::TableRows;
using ::tensorflow::OpInputList;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::OpOutputList;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kIdsPerPart = 8192;  // of a sum: each part has to look through all occurrences of its table
constexpr int64_t kCostPerDealtId = 12, kCostPerRow = 20;  // ns

class DealFidsOp : public OpKernel {
 public:
  explicit DealFidsOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    int num_features;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &num_features));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_tables", &num_tables_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("tables", &tables_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_shards", &num_servers_));
    OP_REQUIRES(ctx, tables_.size() == static_cast<size_t>(num_features),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", num_features, " ids and ", tables_.size(),
                                                        " tables; give one of each a feature.")));
    for (const int64_t table : tables_) {
      OP_REQUIRES(ctx, table >= 0 && table < num_tables_,
                  absl::InvalidArgumentError(absl::StrCat(type_string(), ": a feature has table ", table,
                                                          ", but num_tables is ", num_tables_, "; count from 0.")));
    }
  }

  void Compute(OpKernelContext* ctx) override {
    OpInputList ids;
    OP_REQUIRES_OK(ctx, ctx->input_list("ids", &ids));
    int64_t num_ids = 0;
    for (const Tensor& feature : ids) num_ids += feature.NumElements();
    OP_REQUIRES(ctx, num_ids <= std::numeric_limits<int32_t>::max(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", num_ids,
                                                        " fids in one call; pass fewer than 2^31, in several calls.")));
    Tensor* places;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("places", TensorShape({num_ids}), &places));
    std::vector<std::vector<FidsToDeal>> by_table(num_tables_);
    int64_t* next = places->flat<int64_t>().data();
    for (int f = 0; f < ids.size(); ++f) {
      by_table[tables_[f]].push_back({{ids[f].flat<int64_t>().data(), ids[f].NumElements()}, next});
      next += ids[f].NumElements();
    }
    std::vector<std::vector<std::vector<int64_t>>> dealt(num_tables_);
    OP_REQUIRES_OK(ctx, RunUnits(ctx, num_tables_, 1 + num_ids / num_tables_ * kCostPerDealtId, [&](int64_t table) {
                     dealt[table] = distribution::DealTable(by_table[table], num_servers_);
                   }));
    OpOutputList messages;
    OP_REQUIRES_OK(ctx, ctx->output_list("fids", &messages));
    for (int s = 0; s < num_servers_; ++s) {
      Tensor* message;
      OP_REQUIRES_OK(ctx, messages.allocate(s, TensorShape({distribution::MessageSize(dealt, s)}), &message));
      distribution::WriteMessage(dealt, s, message->flat<int64_t>().data());
    }
  }

 private:
  int num_tables_ = 0, num_servers_ = 0;
  std::vector<int64_t> tables_;
};

// What the dealt fids of one call say.
struct DealtInputs {
  CombinedIds ids;
  std::vector<Span<const int64_t>> messages;
  std::vector<const int64_t*> places;  // of every feature
};

// Reads what combining and summing have in common, and leaves the rest to Run.
class DealtOp : public OpKernel {
 public:
  explicit DealtOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadCombinePlan(ctx, &plan_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("dims", &dims_));
    OP_REQUIRES(
        ctx, std::all_of(dims_.begin(), dims_.end(), [](int64_t dim) { return dim > 0; }),
        absl::InvalidArgumentError(absl::StrCat(type_string(), ": a dim is below 1; pass those of the tables.")));
    OP_REQUIRES_OK(ctx, ToStatus([&] { plan_->CheckTables(dims_); }));
  }

  void Compute(OpKernelContext* ctx) override {
    DealtInputs inputs;
    OP_REQUIRES_OK(ctx, Read(ctx, &inputs));
    OP_REQUIRES_OK(ctx, Run(ctx, inputs));
  }

 protected:
  // Puts the name of the op before the message of an error.
  absl::Status Named(const absl::Status& status) const {
    if (status.ok()) return status;
    return absl::Status(status.code(), absl::StrCat(type_string(), ": ", status.message()));
  }
  virtual absl::Status Run(OpKernelContext* ctx, const DealtInputs& inputs) = 0;

  std::unique_ptr<CombinePlan> plan_;
  std::vector<int64_t> dims_;

 private:
  absl::Status Read(OpKernelContext* ctx, DealtInputs* inputs) const {
    TF_RETURN_IF_ERROR(ReadCombinedIds(ctx, *plan_, &inputs->ids));
    OpInputList messages;
    const Tensor* places;
    TF_RETURN_IF_ERROR(ctx->input_list("fids", &messages));
    TF_RETURN_IF_ERROR(ctx->input("places", &places));
    for (const Tensor& message : messages) {
      inputs->messages.emplace_back(message.flat<int64_t>().data(), message.NumElements());
    }
    if (places->NumElements() != inputs->ids.num_fids) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", places->NumElements(), " places for ",
                                                     inputs->ids.num_fids, " ids; pass those of the same ids."));
    }
    const int64_t* next = places->flat<int64_t>().data();
    for (const FeatureIds& feature : inputs->ids.features) {
      inputs->places.push_back(next);
      next += feature.num_fids();
    }
    return absl::OkStatus();
  }
};

class CombineDealtOp : public DealtOp {
 public:
  using DealtOp::DealtOp;

 private:
  absl::Status Run(OpKernelContext* ctx, const DealtInputs& inputs) override {
    OpInputList embeddings;
    TF_RETURN_IF_ERROR(ctx->input_list("embeddings", &embeddings));
    std::vector<Span<const float>> buffers;
    for (const Tensor& rows : embeddings) buffers.emplace_back(rows.flat<float>().data(), rows.NumElements());
    std::vector<TableRows<const float>> tables;
    TF_RETURN_IF_ERROR(Named(ToStatus([&] { tables = distribution::FindRows(dims_, inputs.messages, buffers); })));
    std::vector<float*> outputs;
    TF_RETURN_IF_ERROR(AllocateCombinedOutputs(ctx, *plan_, inputs.ids.batch, &outputs));
    const std::vector<CombinedUnit> units = DivideRows(inputs.ids);
    const int64_t num_units = std::max<int64_t>(1, units.size());
    const int64_t cost = 1 + (inputs.ids.num_fids + inputs.ids.batch) / num_units * kCostPerRow;
    return Named(RunUnits(ctx, units.size(), cost, [&](int64_t i) {
      const auto& [feature, first_row, last_row] = units[i];
      distribution::CombineDealt(*plan_, feature, tables[plan_->use(feature).feature.table],
                                 inputs.ids.features[feature], inputs.places[feature], first_row, last_row,
                                 outputs.data());
    }));
  }
};

class CombineDealtGradientOp : public DealtOp {
 public:
  explicit CombineDealtGradientOp(OpKernelConstruction* ctx) : DealtOp(ctx) {
    if (!ctx->status().ok()) return;
    for (size_t t = 0; t < dims_.size(); ++t) features_.push_back(plan_->FeaturesOf(static_cast<int>(t)));
  }

 private:
  struct Unit {
    int table, part, num_parts;
  };

  absl::Status Run(OpKernelContext* ctx, const DealtInputs& inputs) override {
    std::vector<const float*> gradients;
    TF_RETURN_IF_ERROR(ReadOutputGradients(ctx, *plan_, inputs.ids.batch, &gradients));
    std::vector<TableRows<float>> tables;
    TF_RETURN_IF_ERROR(Named(AllocateRows(ctx, inputs, &tables)));
    const std::vector<Unit> units = Divide(inputs.ids, NumThreads(ctx));
    const int64_t cost = 1 + inputs.ids.num_fids / static_cast<int64_t>(units.size()) * kCostPerRow;
    return Named(RunUnits(ctx, units.size(), cost, [&](int64_t i) {
      const auto& [table, part, num_parts] = units[i];
      distribution::SumDealtGradients(*plan_, features_[table], tables[table], inputs.ids.features, inputs.places,
                                      gradients.data(), part, num_parts);
    }));
  }

  absl::Status AllocateRows(OpKernelContext* ctx, const DealtInputs& inputs,
                            std::vector<TableRows<float>>* tables) const {
    OpOutputList outputs;
    TF_RETURN_IF_ERROR(ctx->output_list("gradients", &outputs));
    std::vector<Span<float>> buffers;
    for (size_t s = 0; s < inputs.messages.size(); ++s) {
      TF_RETURN_IF_ERROR(ToStatus([&] {
        distribution::CheckMessage(inputs.messages[s], static_cast<int>(dims_.size()), static_cast<int>(s));
      }));
      const int64_t floats = distribution::NumFloats(dims_, inputs.messages[s]);
      Tensor* gradient;
      TF_RETURN_IF_ERROR(outputs.allocate(static_cast<int>(s), TensorShape({floats}), &gradient));
      buffers.emplace_back(gradient->flat<float>().data(), floats);
    }
    return ToStatus([&] { *tables = distribution::FindRows(dims_, inputs.messages, buffers); });
  }

  // A unit at least of every table, so that all of its rows are set.
  std::vector<Unit> Divide(const CombinedIds& ids, int num_threads) const {
    std::vector<Unit> units;
    for (size_t t = 0; t < dims_.size(); ++t) {
      int64_t num_fids = 0;
      for (const int feature : features_[t]) num_fids += ids.features[feature].num_fids();
      const int parts = static_cast<int>(std::clamp<int64_t>(num_fids / kIdsPerPart, 1, num_threads));
      for (int part = 0; part < parts; ++part) units.push_back({static_cast<int>(t), part, parts});
    }
    return units;
  }

  std::vector<std::vector<int>> features_;  // of every table
};

REGISTER_KERNEL_BUILDER(Name("MonolithDealFids").Device(::tensorflow::DEVICE_CPU), DealFidsOp);
REGISTER_KERNEL_BUILDER(Name("MonolithCombineDealt").Device(::tensorflow::DEVICE_CPU), CombineDealtOp);
REGISTER_KERNEL_BUILDER(Name("MonolithCombineDealtGradient").Device(::tensorflow::DEVICE_CPU), CombineDealtGradientOp);

}  // namespace
}  // namespace monolith
