// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cc/data/fid.h"
#include "cc/data/row_batch.h"
#include "cc/distribution/shard_fids.h"
#include "cc/kernels/record_messages.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using data::ColumnOutput;
using data::ColumnSpec;
using data::MessageType;
using distribution::FeatureFids;
using distribution::LayoutConfig;
using distribution::ShardedFids;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::OpOutputList;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kRowsPerUnit = 64;
constexpr int64_t kCostPerCell = 40;  // ns
constexpr int64_t kCostPerFid = 20;   // ns

// The slot of `slot_7` and `fc_slot_7`, or -1.
int64_t SlotOfName(std::string_view name) {
  for (const std::string_view prefix : {"fc_slot_", "slot_"}) {
    int64_t slot;
    if (name.substr(0, prefix.size()) != prefix) continue;
    const std::string_view digits = name.substr(prefix.size());
    if (absl::SimpleAtoi(absl::string_view(digits.data(), digits.size()), &slot)) return slot;
  }
  return -1;
}

// The fids of every feature of a batch, in the order of the configuration.
struct BatchFids {
  int64_t rows = 0;
  std::vector<std::vector<int64_t>> splits, fids;
  std::vector<FeatureFids> features;
};

class ShardingSparseFidsOp : public OpKernel {
 public:
  explicit ShardingSparseFidsOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::string feature_cfgs, input_type;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("feature_cfgs", &feature_cfgs));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("input_type", &input_type));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("ps_num", &num_shards_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("unique", &unique_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("keep_v1", &keep_v1_));
    OP_REQUIRES_OK(ctx, ReadType(input_type));
    OP_REQUIRES_OK(ctx, ReadV1Slots(ctx));
    OP_REQUIRES_OK(ctx, ToStatus([&] {
                     config_ = distribution::ParseLayoutConfig(feature_cfgs);
                     plan_ = std::make_unique<data::ColumnPlan>(type_, Columns());
                   }));
    OP_REQUIRES(ctx, !keep_v1_ || !plan_->converts_v1(),
                absl::FailedPreconditionError(absl::StrCat(
                    type_string(), ": keep_v1, but a feature is a named column, whose fids are of version 2.")));
    int num_lists;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &num_lists));
    OP_REQUIRES(
        ctx, static_cast<size_t>(num_lists) == config_.tables.size() * num_shards_,
        absl::FailedPreconditionError(absl::StrCat(type_string(), ": N is ", num_lists, " for ", config_.tables.size(),
                                                   " tables and ps_num ", num_shards_, "; it is their product.")));
  }

  void Compute(OpKernelContext* ctx) override {
    RecordMessages messages;
    OP_REQUIRES_OK(ctx, ReadRecordMessages(ctx, type_, ctx->input(0), &messages));
    BatchFids batch;
    OP_REQUIRES_OK(ctx, Parse(ctx, messages, &batch));
    ShardedFids sharded;
    OP_REQUIRES_OK(ctx, Shard(ctx, batch, &sharded));
    OP_REQUIRES_OK(ctx, Output(ctx, batch.rows, sharded));
  }

 private:
  absl::Status ReadType(const std::string& input_type) {
    if (input_type == "example") {
      type_ = MessageType::kExample;
    } else if (input_type == "examplebatch" || input_type == "example_batch") {
      type_ = MessageType::kExampleBatch;
    } else if (input_type == "instance") {
      type_ = MessageType::kInstance;
    } else {
      return absl::FailedPreconditionError(
          absl::StrCat(type_string(), ": input_type is '", input_type, "'; use example, examplebatch or instance."));
    }
    return absl::OkStatus();
  }

  absl::Status ReadV1Slots(OpKernelConstruction* ctx) {
    std::vector<std::string> features;
    std::vector<int64_t> slots;
    TF_RETURN_IF_ERROR(ctx->GetAttr("v1_features", &features));
    TF_RETURN_IF_ERROR(ctx->GetAttr("v1_slots", &slots));
    if (features.size() != slots.size()) {
      return absl::FailedPreconditionError(absl::StrCat(type_string(), ": ", features.size(), " v1_features, but ",
                                                        slots.size(), " v1_slots; give each its slot."));
    }
    for (size_t i = 0; i < features.size(); ++i) v1_slots_.emplace(features[i], slots[i]);
    return absl::OkStatus();
  }

  int64_t V1SlotOf(const std::string& feature) const {
    if (type_ != MessageType::kInstance) return -1;
    const auto it = v1_slots_.find(feature);
    return it == v1_slots_.end() ? SlotOfName(feature) : it->second;
  }

  std::vector<ColumnSpec> Columns() const {
    std::vector<ColumnSpec> columns;
    for (const distribution::LayoutFeature& feature : config_.features) {
      const int64_t slot = V1SlotOf(feature.name);
      columns.push_back(slot >= 0 ? data::V1SlotColumn(feature.name, slot) : data::FidColumn(feature.name));
    }
    return columns;
  }

  absl::Status Parse(OpKernelContext* ctx, const RecordMessages& messages, BatchFids* batch) const {
    std::unique_ptr<data::RowBatch> rows;
    TF_RETURN_IF_ERROR(ToStatus([&] { rows = NewRowBatch(type_, plan_.get(), messages); }));
    const int64_t num_rows = batch->rows = rows->num_rows();
    const size_t size = plan_->size();
    batch->splits.assign(size, std::vector<int64_t>(num_rows + 1, 0));
    batch->fids.resize(size);
    std::vector<ColumnOutput> outputs(size);
    for (size_t c = 0; c < size; ++c) outputs[c].splits = batch->splits[c].data();
    const int64_t cost = num_rows * (1 + static_cast<int64_t>(size)) * kCostPerCell;
    const int64_t scan_units = rows->num_scan_units();
    TF_RETURN_IF_ERROR(RunUnits(ctx, scan_units, cost / std::max<int64_t>(1, scan_units),
                                [&](int64_t unit) { rows->Scan(unit, outputs); }));
    const std::vector<int64_t> totals = rows->FinishScan(outputs);
    for (size_t c = 0; c < size; ++c) {
      batch->fids[c].resize(totals[c]);
      outputs[c].fids = batch->fids[c].data();
    }
    const int64_t units = (num_rows + kRowsPerUnit - 1) / kRowsPerUnit;
    TF_RETURN_IF_ERROR(RunUnits(ctx, units, cost / std::max<int64_t>(1, units), [&](int64_t unit) {
      rows->Write(unit * kRowsPerUnit, std::min(num_rows, (unit + 1) * kRowsPerUnit), outputs,
                  [](int, int64_t, std::string_view) {});
    }));
    for (size_t c = 0; c < size; ++c) {
      const bool is_v1 = plan_->columns()[c].origin == ColumnSpec::Origin::kV1Slot && !plan_->converts_v1();
      if (is_v1 && !keep_v1_) {
        for (int64_t& fid : batch->fids[c]) fid = static_cast<int64_t>(data::V1ToV2(static_cast<uint64_t>(fid)));
      }
      const bool shared = rows->IsShared(static_cast<int>(c));
      if (shared && num_rows == 0) batch->splits[c].push_back(0);
      batch->features.push_back({batch->fids[c].data(), batch->splits[c].data(), shared ? 1 : num_rows, shared});
    }
    return absl::OkStatus();
  }

  absl::Status Shard(OpKernelContext* ctx, const BatchFids& batch, ShardedFids* sharded) const {
    int64_t num_fids = 0;
    for (const std::vector<int64_t>& fids : batch.fids) num_fids += static_cast<int64_t>(fids.size());
    absl::Status status;
    const auto run = [&](int64_t units, const std::function<void(int64_t)>& work) {
      status.Update(RunUnits(ctx, units, num_fids * kCostPerFid / std::max<int64_t>(1, units), work));
    };
    TF_RETURN_IF_ERROR(
        ToStatus([&] { *sharded = distribution::ShardFids(config_, batch.features, num_shards_, unique_, run); }));
    return status;
  }

  template <typename T>
  static absl::Status Put(OpOutputList* list, int i, const std::vector<T>& values) {
    Tensor* tensor;
    TF_RETURN_IF_ERROR(list->allocate(i, TensorShape({static_cast<int64_t>(values.size())}), &tensor));
    std::copy(values.begin(), values.end(), tensor->flat<T>().data());
    return absl::OkStatus();
  }

  template <typename T>
  static absl::Status Put(OpKernelContext* ctx, const char* name, const std::vector<T>& values) {
    OpOutputList list;
    TF_RETURN_IF_ERROR(ctx->output_list(name, &list));
    return Put(&list, 0, values);
  }

  static absl::Status Output(OpKernelContext* ctx, int64_t rows, const ShardedFids& sharded) {
    OpOutputList fids, splits, sizes;
    TF_RETURN_IF_ERROR(ctx->output_list("fid_list", &fids));
    TF_RETURN_IF_ERROR(ctx->output_list("fid_list_row_splits", &splits));
    TF_RETURN_IF_ERROR(ctx->output_list("fid_list_row_splits_size", &sizes));
    const auto count = [](size_t n) { return std::vector<int32_t>{static_cast<int32_t>(n)}; };
    for (size_t i = 0; i < sharded.fids.size(); ++i) {
      TF_RETURN_IF_ERROR(Put(&fids, static_cast<int>(i), sharded.fids[i]));
      TF_RETURN_IF_ERROR(Put(&splits, static_cast<int>(i), sharded.row_splits[i]));
      TF_RETURN_IF_ERROR(Put(&sizes, static_cast<int>(i), count(sharded.row_splits[i].size())));
    }
    TF_RETURN_IF_ERROR(Put(ctx, "fid_offset", sharded.fid_offset));
    TF_RETURN_IF_ERROR(Put(ctx, "feature_offset", sharded.feature_offset));
    TF_RETURN_IF_ERROR(Put(ctx, "nfl_offset", sharded.nfl_offset));
    TF_RETURN_IF_ERROR(Put(ctx, "batch_size", count(rows)));
    TF_RETURN_IF_ERROR(Put(ctx, "nfl_size", count(sharded.nfl_offset.size())));
    TF_RETURN_IF_ERROR(Put(ctx, "feature_size", count(sharded.feature_offset.size())));
    TF_RETURN_IF_ERROR(Put(ctx, "fid_size", count(sharded.fid_offset.size())));
    return Put(ctx, "emb_size", sharded.emb_size);
  }

  int num_shards_ = 1;
  bool unique_ = false, keep_v1_ = false;
  MessageType type_ = MessageType::kExample;
  std::unordered_map<std::string, int64_t> v1_slots_;
  LayoutConfig config_;
  std::unique_ptr<data::ColumnPlan> plan_;
};

REGISTER_KERNEL_BUILDER(Name("ShardingSparseFidsV5").Device(::tensorflow::DEVICE_CPU), ShardingSparseFidsOp);

}  // namespace
}  // namespace monolith
