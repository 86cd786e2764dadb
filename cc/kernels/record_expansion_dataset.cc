// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_expansion_dataset.h"

#include <deque>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cc/kernels/record_op.h"
#include "cc/kernels/record_variant.h"
#include "cc/kernels/seeded_uniform.h"
#include "tensorflow/core/framework/partial_tensor_shape.h"
#include "tensorflow/core/framework/tensor.h"

namespace monolith {

using ::tensorflow::AttrValue;
using ::tensorflow::DataTypeVector;
using ::tensorflow::Node;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::PartialTensorShape;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;
using ::tensorflow::Variant;
using ::tensorflow::data::DatasetBase;
using ::tensorflow::data::DatasetContext;
using ::tensorflow::data::DatasetIterator;
using ::tensorflow::data::IteratorBase;
using ::tensorflow::data::IteratorContext;
using ::tensorflow::data::IteratorStateReader;
using ::tensorflow::data::IteratorStateWriter;
using ::tensorflow::data::SerializationContext;

class RecordExpansionDatasetOp::Dataset : public DatasetBase {
 public:
  Dataset(OpKernelContext* ctx, const DatasetBase* input, Settings settings,
          std::shared_ptr<const data::RecordExpansion> expansion, std::vector<Tensor> others)
      : DatasetBase(DatasetContext(ctx)),
        op_(ctx->op_kernel().type_string()),
        input_(input),
        settings_(std::move(settings)),
        expansion_(std::move(expansion)),
        others_(std::move(others)),
        shapes_{PartialTensorShape({})} {
    input_->Ref();
  }
  ~Dataset() override { input_->Unref(); }

  std::unique_ptr<IteratorBase> MakeIteratorInternal(const std::string& prefix) const override;
  const DataTypeVector& output_dtypes() const override { return dtypes_; }
  const std::vector<PartialTensorShape>& output_shapes() const override { return shapes_; }
  std::string DebugString() const override { return absl::StrCat(op_, "Op::Dataset"); }
  absl::Status InputDatasets(std::vector<const DatasetBase*>* inputs) const override {
    inputs->push_back(input_);
    return absl::OkStatus();
  }
  absl::Status CheckExternalState() const override { return input_->CheckExternalState(); }

 protected:
  absl::Status AsGraphDefInternal(SerializationContext* ctx, DatasetGraphDefBuilder* b, Node** output) const override {
    Node* input = nullptr;
    TF_RETURN_IF_ERROR(b->AddInputDataset(ctx, input_, &input));
    std::vector<std::pair<absl::string_view, AttrValue>> attrs(settings_.attrs.begin(), settings_.attrs.end());
    std::vector<std::pair<size_t, Node*>> inputs = {{0, input}};
    for (const Tensor& other : others_) {
      Node* node = nullptr;
      TF_RETURN_IF_ERROR(b->AddDatasetOrTensor(ctx, other, &node));
      inputs.emplace_back(inputs.size(), node);
    }
    return b->AddDataset(this, inputs, {}, attrs, output);
  }

 private:
  class Iterator;

  const std::string op_;
  const DatasetBase* const input_;
  const Settings settings_;
  const std::shared_ptr<const data::RecordExpansion> expansion_;
  const std::vector<Tensor> others_;  // inputs beside the dataset
  const DataTypeVector dtypes_{::tensorflow::DT_VARIANT};
  const std::vector<PartialTensorShape> shapes_;
};

class RecordExpansionDatasetOp::Dataset::Iterator : public DatasetIterator<Dataset> {
 public:
  explicit Iterator(const Params& params)
      : DatasetIterator<Dataset>(params),
        uniform_(std::make_unique<SeededUniform>(params.dataset->settings_.seed, params.dataset->settings_.seed2)) {}

  absl::Status Initialize(IteratorContext* ctx) override {
    return dataset()->input_->MakeIterator(ctx, this, prefix(), &input_);
  }

  absl::Status GetNextInternal(IteratorContext* ctx, std::vector<Tensor>* out, bool* end_of_sequence) override {
    std::lock_guard<std::mutex> lock(mu_);
    *end_of_sequence = false;
    while (waiting_.empty()) {
      std::vector<Tensor> element;
      TF_RETURN_IF_ERROR(input_->GetNext(ctx, &element, end_of_sequence));
      if (*end_of_sequence) return absl::OkStatus();
      TF_RETURN_IF_ERROR(Expand(element));
    }
    // Nobody changes a record in place, so the copies share it.
    Waiting& next = waiting_.front();
    out->push_back(next.record);
    if (--next.copies == 0) waiting_.pop_front();
    return absl::OkStatus();
  }

 protected:
  absl::Status SaveInternal(SerializationContext* ctx, IteratorStateWriter* writer) override {
    std::lock_guard<std::mutex> lock(mu_);
    TF_RETURN_IF_ERROR(SaveInput(ctx, writer, input_));
    TF_RETURN_IF_ERROR(writer->WriteScalar(full_name("draws"), uniform_->draws()));
    TF_RETURN_IF_ERROR(writer->WriteScalar(full_name("waiting"), static_cast<int64_t>(waiting_.size())));
    for (size_t i = 0; i < waiting_.size(); ++i) {
      const Waiting& one = waiting_[i];
      const std::string* bytes = BytesOfVariant(dataset()->settings_.type, one.record.scalar<Variant>()());
      TF_RETURN_IF_ERROR(writer->WriteScalar(full_name(absl::StrCat("copies_", i)), one.copies));
      TF_RETURN_IF_ERROR(writer->WriteScalar(full_name(absl::StrCat("record_", i)), tstring(*bytes)));
    }
    return absl::OkStatus();
  }

  absl::Status RestoreInternal(IteratorContext* ctx, IteratorStateReader* reader) override {
    std::lock_guard<std::mutex> lock(mu_);
    TF_RETURN_IF_ERROR(RestoreInput(ctx, reader, input_));
    int64_t draws = 0, num_waiting = 0;
    TF_RETURN_IF_ERROR(reader->ReadScalar(full_name("draws"), &draws));
    TF_RETURN_IF_ERROR(reader->ReadScalar(full_name("waiting"), &num_waiting));
    const Settings& settings = dataset()->settings_;
    uniform_ = std::make_unique<SeededUniform>(settings.seed, settings.seed2);
    uniform_->Skip(draws);
    waiting_.clear();
    for (int64_t i = 0; i < num_waiting; ++i) {
      tstring bytes;
      int64_t copies = 0;
      TF_RETURN_IF_ERROR(reader->ReadScalar(full_name(absl::StrCat("copies_", i)), &copies));
      TF_RETURN_IF_ERROR(reader->ReadScalar(full_name(absl::StrCat("record_", i)), &bytes));
      if (copies < 1 || !data::IsMessage(settings.type, bytes)) {
        return absl::DataLossError(absl::StrCat(dataset()->op_, ": the saved state of the iterator is damaged."));
      }
      waiting_.push_back({NewRecord(bytes), copies});
    }
    return absl::OkStatus();
  }

 private:
  struct Waiting {
    Tensor record;
    int64_t copies;  // still to come
  };

  Tensor NewRecord(std::string bytes) const {
    Tensor record(::tensorflow::DT_VARIANT, {});
    record.scalar<Variant>()() = VariantOfBytes(dataset()->settings_.type, std::move(bytes));
    return record;
  }

  absl::Status Expand(const std::vector<Tensor>& element) {
    const std::string& op = dataset()->op_;
    const bool is_record =
        element.size() == 1 && element[0].dtype() == ::tensorflow::DT_VARIANT && element[0].dims() == 0;
    if (!is_record) {
      return absl::InvalidArgumentError(absl::StrCat(
          op, ": an element of the input is no scalar variant; use it before records are batched or parsed."));
    }
    const std::string* bytes;
    TF_RETURN_IF_ERROR(RecordBytes(op, dataset()->settings_.type, element[0], 0, &bytes));
    std::vector<data::Copies> expanded;
    TF_RETURN_IF_ERROR(NamingOp(op, ToStatus([&] { expanded = dataset()->expansion_->Run(*bytes, uniform_.get()); })));
    for (data::Copies& copies : expanded) {
      waiting_.push_back({copies.made ? NewRecord(std::move(*copies.made)) : element[0], copies.count});
    }
    return absl::OkStatus();
  }

  std::mutex mu_;  // guards all below
  std::unique_ptr<IteratorBase> input_;
  std::unique_ptr<SeededUniform> uniform_;
  std::deque<Waiting> waiting_;
};

std::unique_ptr<IteratorBase> RecordExpansionDatasetOp::Dataset::MakeIteratorInternal(const std::string& prefix) const {
  return std::make_unique<Iterator>(Iterator::Params{this, absl::StrCat(prefix, "::", op_)});
}

RecordExpansionDatasetOp::RecordExpansionDatasetOp(OpKernelConstruction* ctx) : UnaryDatasetOpKernel(ctx) {
  settings_.type = VariantTypeOf(ctx);
  if (ctx->HasAttr("seed")) {
    settings_.seed = Attr<int64_t>(ctx, "seed");
    settings_.seed2 = Attr<int64_t>(ctx, "seed2");
  }
  for (const auto& [name, value] : ctx->def().attr()) {
    // The graph's builder adds the structure itself.
    const bool is_structure = name == "output_types" || name == "output_shapes";
    if (!is_structure && !absl::StartsWith(name, "_")) settings_.attrs.emplace_back(name, value);
  }
}

void RecordExpansionDatasetOp::MakeDataset(OpKernelContext* ctx, DatasetBase* input, DatasetBase** output) {
  std::shared_ptr<const data::RecordExpansion> expansion;
  OP_REQUIRES_OK(ctx, Expansion(ctx, &expansion));
  std::vector<Tensor> others;
  for (int i = 1; i < ctx->num_inputs(); ++i) others.push_back(ctx->input(i));
  *output = new Dataset(ctx, input, settings_, std::move(expansion), std::move(others));
}

}  // namespace monolith
