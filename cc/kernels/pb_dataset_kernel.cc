// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/record_stream.h"
#include "cc/kernels/record_variant.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/partial_tensor_shape.h"
#include "tensorflow/core/framework/tensor.h"

namespace monolith {
namespace {

using ::tensorflow::DataTypeVector;
using ::tensorflow::Node;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::PartialTensorShape;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;
using ::tensorflow::data::DatasetBase;
using ::tensorflow::data::DatasetContext;
using ::tensorflow::data::DatasetIterator;
using ::tensorflow::data::DatasetOpKernel;
using ::tensorflow::data::IteratorBase;
using ::tensorflow::data::IteratorContext;
using ::tensorflow::data::IteratorStateReader;
using ::tensorflow::data::IteratorStateWriter;
using ::tensorflow::data::SerializationContext;

// What the op was called with; inputs are put into graphs as they came.
struct Arguments {
  tstring file_name, input_pb_type, output_pb_type;
  bool use_snappy = false, has_sort_id = false, kafka_dump = false, kafka_dump_prefix = false, lagrangex_header = false;
  int64_t buffer_size = 0;
  int32_t feature_pruning_type = 0;
  ::tensorflow::DataType out_type = ::tensorflow::DT_VARIANT;
  int64_t compression_type = 0;
  std::string damaged_records;
  bool allow_truncated = false;
};

absl::Status StreamOptions(const Arguments& from, RecordStreamOptions* to) {
  to->file_name = from.file_name;
  to->compression = static_cast<data::Compression>(from.compression_type);
  if (from.use_snappy) to->compression = data::Compression::kSnappy;
  to->framing = {from.lagrangex_header, from.kafka_dump_prefix, from.has_sort_id, from.kafka_dump};
  // Only stdin is held to the buffer: a length in a file cannot be longer than the file.
  if (from.file_name.empty()) to->most_bytes = static_cast<uint64_t>(from.buffer_size);
  to->pruning = static_cast<data::Pruning>(from.feature_pruning_type);
  to->skip_damaged = from.damaged_records == "skip";
  to->allow_truncated = from.allow_truncated;
  TF_RETURN_IF_ERROR(ToStatus([&] {
    to->input = data::TypeNamed(from.input_pb_type);
    to->output = data::TypeNamed(from.output_pb_type);
  }));
  TF_RETURN_IF_ERROR(CheckConversion(to->input, to->output));
  const bool is_plain = to->output == data::MessageType::kPlaintext;
  if (is_plain != (from.out_type == ::tensorflow::DT_STRING)) {
    return absl::InvalidArgumentError(absl::StrCat("PBDataset: out_type ", ::tensorflow::DataTypeString(from.out_type),
                                                   " does not fit output_pb_type ", from.output_pb_type.c_str(),
                                                   "; plaintext is string, everything else variant."));
  }
  if (from.feature_pruning_type < 0 || from.feature_pruning_type > 2) {
    return absl::InvalidArgumentError(absl::StrCat("PBDataset: feature_pruning_type is ", from.feature_pruning_type,
                                                   "; use 0 (as is), 1 (drop features) or 2 (drop raw features)."));
  }
  if (from.buffer_size < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("PBDataset: buffer_size is ", from.buffer_size, "; it must be at least 1 byte."));
  }
  return absl::OkStatus();
}

class PBDatasetOp : public DatasetOpKernel {
 public:
  explicit PBDatasetOp(OpKernelConstruction* ctx) : DatasetOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("out_type", &attrs_.out_type));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("compression_type", &attrs_.compression_type));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("damaged_records", &attrs_.damaged_records));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("allow_truncated", &attrs_.allow_truncated));
  }

 protected:
  void MakeDataset(OpKernelContext* ctx, DatasetBase** output) override;

 private:
  class Dataset;
  Arguments attrs_;
};

class PBDatasetOp::Dataset : public DatasetBase {
 public:
  Dataset(OpKernelContext* ctx, Arguments arguments, RecordStreamOptions options)
      : DatasetBase(DatasetContext(ctx)),
        arguments_(std::move(arguments)),
        options_(std::move(options)),
        dtypes_{arguments_.out_type},
        shapes_{PartialTensorShape({})} {}

  std::unique_ptr<IteratorBase> MakeIteratorInternal(const std::string& prefix) const override;
  const DataTypeVector& output_dtypes() const override { return dtypes_; }
  const std::vector<PartialTensorShape>& output_shapes() const override { return shapes_; }
  std::string DebugString() const override { return "PBDatasetOp::Dataset"; }
  absl::Status InputDatasets(std::vector<const DatasetBase*>*) const override { return absl::OkStatus(); }
  absl::Status CheckExternalState() const override { return absl::OkStatus(); }

 protected:
  absl::Status AsGraphDefInternal(SerializationContext*, DatasetGraphDefBuilder* b, Node** output) const override {
    std::vector<Node*> nodes;
    const auto add = [&](const auto& value) -> absl::Status {
      Node* node = nullptr;
      TF_RETURN_IF_ERROR(b->AddScalar(value, &node));
      nodes.push_back(node);
      return absl::OkStatus();
    };
    TF_RETURN_IF_ERROR(add(arguments_.file_name));
    TF_RETURN_IF_ERROR(add(arguments_.use_snappy));
    TF_RETURN_IF_ERROR(add(arguments_.has_sort_id));
    TF_RETURN_IF_ERROR(add(arguments_.kafka_dump));
    TF_RETURN_IF_ERROR(add(arguments_.kafka_dump_prefix));
    TF_RETURN_IF_ERROR(add(arguments_.buffer_size));
    TF_RETURN_IF_ERROR(add(arguments_.lagrangex_header));
    TF_RETURN_IF_ERROR(add(arguments_.input_pb_type));
    TF_RETURN_IF_ERROR(add(arguments_.output_pb_type));
    TF_RETURN_IF_ERROR(add(arguments_.feature_pruning_type));
    std::vector<std::pair<absl::string_view, ::tensorflow::AttrValue>> attrs(4);
    attrs[0].first = "out_type";
    b->BuildAttrValue(arguments_.out_type, &attrs[0].second);
    attrs[1].first = "compression_type";
    b->BuildAttrValue(arguments_.compression_type, &attrs[1].second);
    attrs[2].first = "damaged_records";
    b->BuildAttrValue(arguments_.damaged_records, &attrs[2].second);
    attrs[3].first = "allow_truncated";
    b->BuildAttrValue(arguments_.allow_truncated, &attrs[3].second);
    std::vector<std::pair<size_t, Node*>> inputs;
    for (size_t i = 0; i < nodes.size(); ++i) inputs.emplace_back(i, nodes[i]);
    return b->AddDataset(this, inputs, {}, attrs, output);
  }

 private:
  class Iterator : public DatasetIterator<Dataset> {
   public:
    explicit Iterator(const Params& params) : DatasetIterator<Dataset>(params), stream_(params.dataset->options_) {}

    absl::Status GetNextInternal(IteratorContext* ctx, std::vector<Tensor>* out, bool* end_of_sequence) override {
      std::lock_guard<std::mutex> lock(mu_);
      std::string bytes;
      TF_RETURN_IF_ERROR(stream_.Next(ctx->env(), &bytes, end_of_sequence));
      if (*end_of_sequence) return absl::OkStatus();
      if (dataset()->arguments_.out_type == ::tensorflow::DT_STRING) {
        Tensor element(::tensorflow::DT_STRING, {});
        element.scalar<tstring>()() = bytes;
        out->push_back(std::move(element));
      } else {
        Tensor element(::tensorflow::DT_VARIANT, {});
        element.scalar<::tensorflow::Variant>()() = VariantOfBytes(dataset()->options_.output, std::move(bytes));
        out->push_back(std::move(element));
      }
      return absl::OkStatus();
    }

   protected:
    absl::Status SaveInternal(SerializationContext*, IteratorStateWriter* writer) override {
      std::lock_guard<std::mutex> lock(mu_);
      // Files of the earlier system have this number beside the offset; nothing reads it.
      TF_RETURN_IF_ERROR(writer->WriteScalar(full_name("num_random_samples"), int64_t{0}));
      const bool is_stdin = dataset()->options_.file_name.empty();
      return writer->WriteScalar(full_name("offset"), is_stdin ? 0 : static_cast<int64_t>(stream_.offset()));
    }

    absl::Status RestoreInternal(IteratorContext*, IteratorStateReader* reader) override {
      std::lock_guard<std::mutex> lock(mu_);
      int64_t offset;
      TF_RETURN_IF_ERROR(reader->ReadScalar(full_name("offset"), &offset));
      stream_.StartAt(static_cast<uint64_t>(offset));
      return absl::OkStatus();
    }

   private:
    std::mutex mu_;
    RecordStream stream_;  // guarded by mu_
  };

  const Arguments arguments_;
  const RecordStreamOptions options_;
  const DataTypeVector dtypes_;
  const std::vector<PartialTensorShape> shapes_;
};

std::unique_ptr<IteratorBase> PBDatasetOp::Dataset::MakeIteratorInternal(const std::string& prefix) const {
  return std::make_unique<Iterator>(Iterator::Params{this, absl::StrCat(prefix, "::PB")});
}

void PBDatasetOp::MakeDataset(OpKernelContext* ctx, DatasetBase** output) {
  Arguments arguments = attrs_;
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "file_name", &arguments.file_name));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "use_snappy", &arguments.use_snappy));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "has_sort_id", &arguments.has_sort_id));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "kafka_dump", &arguments.kafka_dump));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "kafka_dump_prefix", &arguments.kafka_dump_prefix));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "buffer_size", &arguments.buffer_size));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "lagrangex_header", &arguments.lagrangex_header));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "input_pb_type", &arguments.input_pb_type));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "output_pb_type", &arguments.output_pb_type));
  OP_REQUIRES_OK(ctx, ReadScalar(ctx, "feature_pruning_type", &arguments.feature_pruning_type));
  const bool other =
      arguments.compression_type != 0 && arguments.compression_type != static_cast<int64_t>(data::Compression::kSnappy);
  OP_REQUIRES(ctx, !arguments.use_snappy || !other,
              absl::InvalidArgumentError(absl::StrCat("PBDataset: use_snappy together with compression_type ",
                                                      arguments.compression_type, "; give one of them.")));
  RecordStreamOptions options;
  OP_REQUIRES_OK(ctx, StreamOptions(arguments, &options));
  *output = new Dataset(ctx, std::move(arguments), std::move(options));
}

class DamagedRecordsOp : public ::tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* ctx) override {
    Tensor* count;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {}, &count));
    count->scalar<int64_t>()() = NumDamagedRecords();
  }
};

REGISTER_KERNEL_BUILDER(Name("PBDataset").Device(::tensorflow::DEVICE_CPU), PBDatasetOp);
REGISTER_KERNEL_BUILDER(Name("MonolithDamagedRecords").Device(::tensorflow::DEVICE_CPU), DamagedRecordsOp);

}  // namespace
}  // namespace monolith
