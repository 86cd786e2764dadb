// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/data/convert.h"
#include "cc/data/row_batch.h"
#include "cc/kernels/record_messages.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using data::ColumnOutput;
using data::ColumnPlan;
using data::ColumnSpec;
using data::MessageType;
using data::RowBatch;
using data::ValueType;
using ::tensorflow::DataType;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;

constexpr int64_t kRowsPerUnit = 64;
constexpr int64_t kCostPerCell = 40;  // ns

absl::Status ValueTypeOf(const std::string& name, DataType dtype, ValueType* type) {
  switch (dtype) {
    case ::tensorflow::DT_FLOAT:
      *type = ValueType::kFloat;
      return absl::OkStatus();
    case ::tensorflow::DT_INT64:
      *type = ValueType::kInt64;
      return absl::OkStatus();
    case ::tensorflow::DT_STRING:
      *type = ValueType::kBytes;
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(absl::StrCat("column '", name, "' is asked for as ",
                                                     ::tensorflow::DataTypeString(dtype),
                                                     "; columns are float32, int64 or string."));
  }
}

// Parses Instances, Examples or an ExampleBatch into columns.
template <MessageType kType>
class ParseOp : public OpKernel {
 public:
  explicit ParseOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::vector<ColumnSpec> columns;
    OP_REQUIRES_OK(ctx, ReadColumns(ctx, &columns));
    OP_REQUIRES_OK(ctx, ToStatus([&] { plan_ = std::make_unique<ColumnPlan>(kType, std::move(columns)); }));
    const size_t expected = plan_->size() + num_ragged_;
    OP_REQUIRES(ctx, static_cast<size_t>(ctx->num_outputs()) == expected,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": dtypes has ", ctx->num_outputs(),
                                                        " types for ", plan_->size(), " names, ", num_ragged_,
                                                        " of them ragged; it must have ", expected, ".")));
  }

  void Compute(OpKernelContext* ctx) override {
    RecordMessages messages;
    OP_REQUIRES_OK(ctx, ReadRecordMessages(ctx, kType, ctx->input(0), &messages));
    std::unique_ptr<RowBatch> batch;
    OP_REQUIRES_OK(ctx, ToStatus([&] { batch = NewRowBatch(kType, plan_.get(), messages); }));
    std::vector<ColumnOutput> outputs(plan_->size());
    std::vector<tstring*> strings(plan_->size(), nullptr);
    OP_REQUIRES_OK(ctx, AllocateColumns(ctx, batch->num_rows(), &outputs, &strings));
    const int64_t cells = std::max<int64_t>(1, static_cast<int64_t>(plan_->size()));
    const int64_t scan_units = batch->num_scan_units();
    const int64_t scan_cost = batch->num_rows() * cells * kCostPerCell / std::max<int64_t>(1, scan_units);
    OP_REQUIRES_OK(ctx, RunUnits(ctx, scan_units, scan_cost, [&](int64_t unit) { batch->Scan(unit, outputs); }));
    OP_REQUIRES_OK(ctx, AllocateValues(ctx, batch->FinishScan(outputs), &outputs));
    const auto write = [&](int64_t begin, int64_t end) {
      batch->Write(begin, end, outputs, [&](int column, int64_t index, std::string_view value) {
        strings[column][index].assign(value.data(), value.size());
      });
    };
    OP_REQUIRES_OK(ctx, RunRanges(ctx, batch->num_rows(), kRowsPerUnit, kRowsPerUnit * cells * kCostPerCell, write));
    WarnOfSequences(*batch);
  }

 private:
  absl::Status ReadColumns(OpKernelConstruction* ctx, std::vector<ColumnSpec>* columns) {
    std::vector<std::string> names, extra_names;
    std::vector<int64_t> shapes, fidv1_features;
    std::vector<DataType> dtypes;
    TF_RETURN_IF_ERROR(ctx->GetAttr("names", &names));
    TF_RETURN_IF_ERROR(ctx->GetAttr("shapes", &shapes));
    TF_RETURN_IF_ERROR(ctx->GetAttr("dtypes", &dtypes));
    TF_RETURN_IF_ERROR(ctx->GetAttr("extra_names", &extra_names));
    if (kType == MessageType::kInstance) TF_RETURN_IF_ERROR(ctx->GetAttr("fidv1_features", &fidv1_features));
    if (names.size() != shapes.size() || dtypes.size() < names.size()) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", names.size(), " names, ", shapes.size(),
                                                     " shapes and ", dtypes.size(),
                                                     " dtypes; give a shape and a dtype for every name."));
    }
    const std::unordered_set<std::string> extras(extra_names.begin(), extra_names.end());
    for (size_t i = 0; i < names.size(); ++i) {
      ColumnSpec column;
      if (shapes[i] == -1) {
        if (dtypes[i] != ::tensorflow::DT_INT64) {
          return absl::InvalidArgumentError(absl::StrCat(type_string(), ": '", names[i], "' has shape -1 and type ",
                                                         ::tensorflow::DataTypeString(dtypes[i]),
                                                         "; only fids are ragged, and they are int64."));
        }
        const bool v1 = i < fidv1_features.size();
        column = v1 ? data::V1SlotColumn(names[i], fidv1_features[i]) : data::FidColumn(names[i]);
        ++num_ragged_;
      } else {
        ValueType type;
        TF_RETURN_IF_ERROR(ValueTypeOf(names[i], dtypes[i], &type));
        TF_RETURN_IF_ERROR(ToStatus([&] {
          column = extras.count(names[i]) > 0 ? data::LineIdColumn(names[i], type, shapes[i])
                                              : data::DenseColumn(names[i], type, shapes[i]);
        }));
      }
      columns->push_back(std::move(column));
    }
    if (fidv1_features.size() > static_cast<size_t>(num_ragged_)) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", fidv1_features.size(),
                                                     " fidv1_features, but only ", num_ragged_,
                                                     " names of shape -1; their names come first."));
    }
    return absl::OkStatus();
  }

  absl::Status AllocateColumns(OpKernelContext* ctx, int64_t rows, std::vector<ColumnOutput>* outputs,
                               std::vector<tstring*>* strings) const {
    for (size_t i = 0; i < plan_->size(); ++i) {
      const ColumnSpec& column = plan_->columns()[i];
      Tensor* tensor;
      const bool ragged = column.type == ValueType::kFids;
      const auto shape =
          ragged ? ::tensorflow::TensorShape({rows + 1}) : ::tensorflow::TensorShape({rows, column.width});
      TF_RETURN_IF_ERROR(ctx->allocate_output(static_cast<int>(i), shape, &tensor));
      ColumnOutput& output = (*outputs)[i];
      if (ragged) output.splits = tensor->flat<int64_t>().data();
      if (column.type == ValueType::kFloat) output.floats = tensor->flat<float>().data();
      if (column.type == ValueType::kInt64) output.ints = tensor->flat<int64_t>().data();
      if (column.type == ValueType::kBytes) (*strings)[i] = tensor->flat<tstring>().data();
    }
    return absl::OkStatus();
  }

  absl::Status AllocateValues(OpKernelContext* ctx, const std::vector<int64_t>& totals,
                              std::vector<ColumnOutput>* outputs) const {
    int next = static_cast<int>(plan_->size());
    for (size_t i = 0; i < plan_->size(); ++i) {
      if (plan_->columns()[i].type != ValueType::kFids) continue;
      Tensor* values;
      TF_RETURN_IF_ERROR(ctx->allocate_output(next++, {totals[i]}, &values));
      (*outputs)[i].fids = values->flat<int64_t>().data();
    }
    return absl::OkStatus();
  }

  void WarnOfSequences(const RowBatch& batch) {
    if (batch.skipped_sequence() == nullptr || warned_.exchange(true)) return;
    LOG(WARNING)
        << type_string() << ": column '" << *batch.skipped_sequence()
        << "' holds lists of lists of fids, which a ragged column cannot hold; such rows are empty. Write it as "
           "fid_v2_list. (Said once.)";
  }

  std::unique_ptr<ColumnPlan> plan_;
  int64_t num_ragged_ = 0;
  std::atomic<bool> warned_{false};
};

REGISTER_KERNEL_BUILDER(Name("ParseInstances").Device(::tensorflow::DEVICE_CPU), ParseOp<MessageType::kInstance>);
REGISTER_KERNEL_BUILDER(Name("ParseExamples").Device(::tensorflow::DEVICE_CPU), ParseOp<MessageType::kExample>);
REGISTER_KERNEL_BUILDER(Name("ParseExampleBatch").Device(::tensorflow::DEVICE_CPU),
                        ParseOp<MessageType::kExampleBatch>);

}  // namespace
}  // namespace monolith
