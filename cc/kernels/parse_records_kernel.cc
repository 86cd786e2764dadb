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
#include "cc/kernels/record_variant.h"
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

// The messages of one call.
struct Messages {
  std::vector<std::string> read;  // what was made of strings
  std::vector<std::string_view> views;
};

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
    Messages messages;
    OP_REQUIRES_OK(ctx, ReadMessages(ctx, &messages));
    std::unique_ptr<RowBatch> batch;
    OP_REQUIRES_OK(ctx, ToStatus([&] { batch = NewBatch(messages); }));
    std::vector<ColumnOutput> outputs(plan_->size());
    std::vector<tstring*> strings(plan_->size(), nullptr);
    OP_REQUIRES_OK(ctx, AllocateColumns(ctx, batch->num_rows(), &outputs, &strings));
    const int64_t cells = std::max<int64_t>(1, static_cast<int64_t>(plan_->size()));
    const int64_t scan_units = batch->num_scan_units();
    const int64_t scan_cost = batch->num_rows() * cells * kCostPerCell / std::max<int64_t>(1, scan_units);
    OP_REQUIRES_OK(ctx, RunUnits(ctx, scan_units, scan_cost, [&](int64_t unit) { batch->Scan(unit, outputs); }));
    OP_REQUIRES_OK(ctx, AllocateValues(ctx, batch->FinishScan(outputs), &outputs));
    const int64_t rows = batch->num_rows(), units = (rows + kRowsPerUnit - 1) / kRowsPerUnit;
    OP_REQUIRES_OK(ctx, RunUnits(ctx, units, kRowsPerUnit * cells * kCostPerCell, [&](int64_t unit) {
                     batch->Write(unit * kRowsPerUnit, std::min(rows, (unit + 1) * kRowsPerUnit), outputs,
                                  [&](int column, int64_t index, std::string_view value) {
                                    strings[column][index].assign(value.data(), value.size());
                                  });
                   }));
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

  absl::Status ReadMessages(OpKernelContext* ctx, Messages* messages) const {
    const Tensor& input = ctx->input(0);
    const bool is_batch = kType == MessageType::kExampleBatch;
    if (is_batch ? input.dims() > 1 || input.NumElements() != 1 : input.dims() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          type_string(), ": pb_input has shape ", input.shape().DebugString(), "; pass ",
          is_batch ? "a scalar or a vector of one element." : "a vector, one element a row (batch the dataset)."));
    }
    const int64_t n = input.NumElements();
    if (input.dtype() == ::tensorflow::DT_STRING) {
      const auto strings = input.flat<tstring>();
      messages->read.resize(n);
      for (int64_t i = 0; i < n; ++i) TF_RETURN_IF_ERROR(ReadString(strings(i), i, &messages->read[i]));
      messages->views.assign(messages->read.begin(), messages->read.end());
      return absl::OkStatus();
    }
    const auto variants = input.flat<::tensorflow::Variant>();
    for (int64_t i = 0; i < n; ++i) {
      const std::string* bytes = BytesOfVariant(kType, variants(i));
      if (bytes == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(
            type_string(), ": pb_input[", i, "] holds ", variants(i).is_empty() ? "nothing" : variants(i).TypeName(),
            ", not ", data::NameOf(kType), "; parse with the function for the dataset's output_pb_type."));
      }
      messages->views.emplace_back(*bytes);
    }
    return absl::OkStatus();
  }

  // A string is a message as a stream has it.
  absl::Status ReadString(const tstring& string, int64_t row, std::string* read) const {
    const std::string_view bytes(string.data(), string.size());
    const absl::Status status = ToStatus([&] {
      data::CheckMessage(kType, bytes);
      if (kType == MessageType::kExample) {
        data::ReadExample(bytes, data::Pruning::kRawFeatures, read);
      } else {
        read->assign(bytes);
      }
    });
    return status.ok()
               ? status
               : absl::Status(status.code(), absl::StrCat(type_string(), ": pb_input[", row, "]: ", status.message()));
  }

  std::unique_ptr<RowBatch> NewBatch(const Messages& messages) const {
    if (kType == MessageType::kInstance) return data::NewInstanceBatch(plan_.get(), messages.views, true);
    if (kType == MessageType::kExample) return data::NewExampleRowBatch(plan_.get(), messages.views, true);
    return data::NewExampleBatchBatch(plan_.get(), messages.views[0], true);
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
