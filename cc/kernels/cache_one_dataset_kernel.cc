// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/partial_tensor_shape.h"
#include "tensorflow/core/framework/tensor.h"

namespace monolith {
namespace {

using ::tensorflow::DataTypeVector;
using ::tensorflow::Node;
using ::tensorflow::OpKernelContext;
using ::tensorflow::PartialTensorShape;
using ::tensorflow::Tensor;
using ::tensorflow::data::DatasetBase;
using ::tensorflow::data::DatasetContext;
using ::tensorflow::data::DatasetIterator;
using ::tensorflow::data::IteratorBase;
using ::tensorflow::data::IteratorContext;
using ::tensorflow::data::IteratorStateReader;
using ::tensorflow::data::IteratorStateWriter;
using ::tensorflow::data::SerializationContext;
using ::tensorflow::data::UnaryDatasetOpKernel;

class CacheOneDatasetOp : public UnaryDatasetOpKernel {
 public:
  using UnaryDatasetOpKernel::UnaryDatasetOpKernel;

 protected:
  void MakeDataset(OpKernelContext* ctx, DatasetBase* input, DatasetBase** output) override;

 private:
  class Dataset;
};

class CacheOneDatasetOp::Dataset : public DatasetBase {
 public:
  Dataset(OpKernelContext* ctx, const DatasetBase* input)
      : DatasetBase(DatasetContext(ctx)),
        input_(input),
        dtypes_(input->output_dtypes()),
        shapes_(input->output_shapes()) {
    input_->Ref();
    dtypes_.push_back(::tensorflow::DT_BOOL);
    shapes_.push_back(PartialTensorShape({}));
  }
  ~Dataset() override { input_->Unref(); }

  std::unique_ptr<IteratorBase> MakeIteratorInternal(const std::string& prefix) const override;
  const DataTypeVector& output_dtypes() const override { return dtypes_; }
  const std::vector<PartialTensorShape>& output_shapes() const override { return shapes_; }
  std::string DebugString() const override { return "CacheOneDatasetOp::Dataset"; }
  absl::Status InputDatasets(std::vector<const DatasetBase*>* inputs) const override {
    inputs->push_back(input_);
    return absl::OkStatus();
  }
  absl::Status CheckExternalState() const override { return input_->CheckExternalState(); }

 protected:
  absl::Status AsGraphDefInternal(SerializationContext* ctx, DatasetGraphDefBuilder* b, Node** output) const override {
    Node* input = nullptr;
    TF_RETURN_IF_ERROR(b->AddInputDataset(ctx, input_, &input));
    return b->AddDataset(this, {input}, output);
  }

 private:
  class Iterator : public DatasetIterator<Dataset> {
   public:
    explicit Iterator(const Params& params) : DatasetIterator<Dataset>(params) {}

    absl::Status Initialize(IteratorContext* ctx) override {
      return dataset()->input_->MakeIterator(ctx, this, prefix(), &input_);
    }

    absl::Status GetNextInternal(IteratorContext* ctx, std::vector<Tensor>* out, bool* end_of_sequence) override {
      std::lock_guard<std::mutex> lock(mu_);
      if (!begun_) Fetch(ctx);
      begun_ = true;
      // An error comes after the elements before it, not in their place.
      TF_RETURN_IF_ERROR(fetched_);
      *end_of_sequence = end_;
      if (end_) return absl::OkStatus();
      *out = std::move(next_);
      Fetch(ctx);
      Tensor is_last(::tensorflow::DT_BOOL, {});
      is_last.scalar<bool>()() = fetched_.ok() && end_;
      out->push_back(std::move(is_last));
      return absl::OkStatus();
    }

   protected:
    absl::Status SaveInternal(SerializationContext*, IteratorStateWriter*) override { return NoState(); }
    absl::Status RestoreInternal(IteratorContext*, IteratorStateReader*) override { return NoState(); }

   private:
    static absl::Status NoState() {
      return absl::UnimplementedError(
          "an iterator of CacheOneDataset cannot be saved; keep it out of checkpoints, or put it behind the dataset "
          "that is.");
    }
    void Fetch(IteratorContext* ctx) {
      next_.clear();
      fetched_ = input_->GetNext(ctx, &next_, &end_);
    }

    std::mutex mu_;  // guards all below
    std::unique_ptr<IteratorBase> input_;
    std::vector<Tensor> next_;
    absl::Status fetched_;
    bool end_ = false, begun_ = false;
  };

  const DatasetBase* const input_;
  DataTypeVector dtypes_;
  std::vector<PartialTensorShape> shapes_;
};

std::unique_ptr<IteratorBase> CacheOneDatasetOp::Dataset::MakeIteratorInternal(const std::string& prefix) const {
  return std::make_unique<Iterator>(Iterator::Params{this, absl::StrCat(prefix, "::CacheOne")});
}

void CacheOneDatasetOp::MakeDataset(OpKernelContext* ctx, DatasetBase* input, DatasetBase** output) {
  *output = new Dataset(ctx, input);
}

REGISTER_KERNEL_BUILDER(Name("MonolithCacheOneDataset").Device(::tensorflow::DEVICE_CPU), CacheOneDatasetOp);

}  // namespace
}  // namespace monolith
