// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/combine.h"
#include "cc/kernels/combined_features.h"
#include "cc/kernels/hit_rates.h"
#include "cc/kernels/learning_rates.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/stacked_ids.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpInputList;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;
using ::tensorflow::core::RefCountPtr;

constexpr int64_t kIdsPerPart = 4096;  // of a step: each part has to look through all fids of its table

// Finds the tables and reads the ids, and leaves the rest to Run.
class CombinedOp : public OpKernel {
 public:
  explicit CombinedOp(OpKernelConstruction* ctx) : OpKernel(ctx) { OP_REQUIRES_OK(ctx, ReadCombinePlan(ctx, &plan_)); }

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    OP_REQUIRES_OK(ctx, ToStatus([&] { plan_->CheckTables(resource->tables()); }));
    CombinedIds ids;
    OP_REQUIRES_OK(ctx, ReadCombinedIds(ctx, *plan_, &ids));
    OP_REQUIRES_OK(ctx, Run(ctx, resource.get(), ids));
  }

 protected:
  virtual absl::Status Run(OpKernelContext* ctx, MultiTableResource* resource, const CombinedIds& ids) = 0;

  std::unique_ptr<CombinePlan> plan_;
};

class CombinedLookupOp : public CombinedOp {
 public:
  using CombinedOp::CombinedOp;

 private:
  absl::Status Run(OpKernelContext* ctx, MultiTableResource* resource, const CombinedIds& ids) override {
    std::vector<float*> outputs;
    TF_RETURN_IF_ERROR(AllocateCombinedOutputs(ctx, *plan_, ids.batch, &outputs));
    const std::vector<CombinedUnit> units = DivideRows(ids);
    if (units.empty()) return absl::OkStatus();
    const int64_t cost = std::max<int64_t>(1, (ids.num_fids + ids.batch) / units.size()) * kCostPerId;
    HitRates hit_rates(resource->tables());
    TF_RETURN_IF_ERROR(RunUnits(ctx, units.size(), cost, [&](int64_t i) {
      const int feature = units[i].feature;
      const int table = static_cast<int>(plan_->use(feature).feature.table);
      const LookupCounts counts = CombineRows(*plan_, feature, resource->tables().table(table), ids.features[feature],
                                              units[i].first_row, units[i].last_row, outputs.data());
      hit_rates.Add(table, counts.fids, counts.present);
    }));
    hit_rates.Emit(ctx);
    return absl::OkStatus();
  }
};

class CombinedOptimizeOp : public CombinedOp {
 public:
  explicit CombinedOptimizeOp(OpKernelConstruction* ctx) : CombinedOp(ctx) {
    if (!ctx->status().ok()) return;
    // After the table, the ids and row splits of every feature, and the gradients of every output.
    learning_rate_ = 1 + 2 * plan_->num_features() + static_cast<int>(plan_->outputs().size());
    for (int f = 0; f < plan_->num_features(); ++f) {
      const int table = static_cast<int>(plan_->use(f).feature.table);
      if (std::none_of(tables_.begin(), tables_.end(), [&](const TableFeatures& t) { return t.table == table; })) {
        tables_.push_back({table, plan_->FeaturesOf(table)});
      }
    }
  }

 private:
  struct TableFeatures {
    int table;
    std::vector<int> features;
  };
  struct Unit {
    const TableFeatures* table;
    int part, num_parts;
  };

  absl::Status Run(OpKernelContext* ctx, MultiTableResource* resource, const CombinedIds& ids) override {
    MultiTable& tables = resource->tables();
    std::vector<const float*> gradients;
    TF_RETURN_IF_ERROR(ReadOutputGradients(ctx, *plan_, ids.batch, &gradients));
    const float* rates = nullptr;
    int64_t update_ts = 0, global_step = 0;
    TF_RETURN_IF_ERROR(ReadLearningRates(ctx, learning_rate_, tables, &rates));
    TF_RETURN_IF_ERROR(ReadScalar(ctx, learning_rate_ + 1, "update_time", &update_ts));
    TF_RETURN_IF_ERROR(ReadScalar(ctx, learning_rate_ + 2, "global_step", &global_step));
    std::vector<const float*> rates_of(tables.num_tables(), rates);
    for (int t = 1; t < tables.num_tables(); ++t) rates_of[t] = rates_of[t - 1] + tables.table(t - 1).num_slices();
    const std::vector<Unit> units = Divide(ids, NumThreads(ctx));
    TF_RETURN_IF_ERROR(ToStatus([&] {  // before the first table changes
      for (const Unit& unit : units) tables.table(unit.table->table).CheckOptimize(global_step, false);
    }));
    if (!units.empty()) {
      TF_RETURN_IF_ERROR(
          RunUnits(ctx, units.size(), std::max<int64_t>(1, ids.num_fids / units.size()) * kCostPerId, [&](int64_t i) {
            const auto& [table, part, num_parts] = units[i];
            const StepSettings step{rates_of[table->table], update_ts, global_step, resource->filter()};
            OptimizeCombined(*plan_, table->features, &tables.table(table->table), ids.features, gradients.data(), step,
                             part, num_parts);
          }));
    }
    ctx->set_output(0, ctx->input(0));
    return absl::OkStatus();
  }

  std::vector<Unit> Divide(const CombinedIds& ids, int num_threads) const {
    std::vector<Unit> units;
    for (const TableFeatures& table : tables_) {
      int64_t num_fids = 0;
      for (const int feature : table.features) num_fids += ids.features[feature].num_fids();
      if (num_fids == 0) continue;
      const int parts = static_cast<int>(std::clamp<int64_t>(num_fids / kIdsPerPart, 1, num_threads));
      for (int part = 0; part < parts; ++part) units.push_back({&table, part, parts});
    }
    return units;
  }

  int learning_rate_ = 0;  // input
  std::vector<TableFeatures> tables_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableCombinedLookup").Device(::tensorflow::DEVICE_CPU),
                        CombinedLookupOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableCombinedTrainingLookup").Device(::tensorflow::DEVICE_CPU),
                        CombinedLookupOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableCombinedOptimize").Device(::tensorflow::DEVICE_CPU),
                        CombinedOptimizeOp);

}  // namespace
}  // namespace monolith
