// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/data/convert_record.h"
#include "cc/data/data_error.h"
#include "cc/data/record_head.h"
#include "cc/data/record_reader.h"
#include "cc/kernels/record_op.h"
#include "cc/kernels/record_variant.h"

namespace monolith {
namespace {

using data::MessageType;
using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;
using ::tensorflow::Variant;

// Strings with the frames of a stream around messages, or bare messages.
class StringFrames {
 public:
  explicit StringFrames(OpKernelConstruction* ctx) : has_header_(Attr<bool>(ctx, "has_header")) {
    framing_ = {Attr<bool>(ctx, "lagrangex_header"), Attr<bool>(ctx, "kafka_dump_prefix"),
                Attr<bool>(ctx, "has_sort_id"), Attr<bool>(ctx, "kafka_dump")};
    const bool any =
        framing_.lagrangex_header || framing_.kafka_dump_prefix || framing_.has_sort_id || framing_.kafka_dump;
    OP_REQUIRES(ctx, has_header_ || !any,
                absl::InvalidArgumentError(
                    absl::StrCat(ctx->def().op(),
                                 ": has_header is false, but headers are described; set has_header, or leave "
                                 "lagrangex_header, kafka_dump_prefix, has_sort_id and kafka_dump unset.")));
  }

  // Calls run(Record*) for the records of a string; a bare empty string is an empty record.
  void ForEach(const tstring& string, const std::function<void(data::Record*)>& run) const {
    data::Record record;
    if (!has_header_) {
      record.payload.assign(string.data(), string.size());
      return run(&record);
    }
    auto source = std::make_unique<data::MemorySource>(std::string(string.data(), string.size()), "the string");
    data::RecordReader reader(std::move(source), framing_, data::RecordReader::kLargestRecord, false,
                              std::max<size_t>(string.size(), 1));
    while (reader.Next(&record)) run(&record);
  }

 private:
  const bool has_header_;
  data::Framing framing_;
};

// Runs `body` for an element; whatever does not fit is the caller's string.
absl::Status ElementStatus(const std::string& op, int64_t i, const std::function<void()>& body) {
  const absl::Status status = ToStatus(body);
  if (status.ok() || absl::IsResourceExhausted(status)) return status;
  return absl::InvalidArgumentError(absl::StrCat(op, ": input[", i, "]: ", status.message()));
}

class StringToVariantOp : public OpKernel {
 public:
  explicit StringToVariantOp(OpKernelConstruction* ctx)
      : OpKernel(ctx), type_(VariantTypeOf(ctx, "variant_type")), frames_(ctx) {
    const auto chnids = Attr<std::vector<int64_t>>(ctx, "chnids"),
               keys = Attr<std::vector<int64_t>>(ctx, "source_keys");
    default_key_ = static_cast<uint32_t>(Attr<int64_t>(ctx, "default_source_key"));
    OP_REQUIRES(ctx, type_ != MessageType::kPlaintext,
                absl::InvalidArgumentError(absl::StrCat(
                    type_string(), ": variant_type is plaintext; use instance, example or example_batch.")));
    OP_REQUIRES(ctx, chnids.size() == keys.size(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": chnids has ", chnids.size(),
                                                        " channels and source_keys ", keys.size(),
                                                        " keys; give one for each.")));
    OP_REQUIRES(ctx, chnids.empty() || type_ != MessageType::kExampleBatch,
                absl::InvalidArgumentError(
                    absl::StrCat(type_string(),
                                 ": chnids for an ExampleBatch, whose rows have channels of their own; give the "
                                 "default alone.")));
    for (size_t i = 0; i < chnids.size(); ++i) keys_[chnids[i]] = static_cast<uint32_t>(keys[i]);
  }

  void Compute(OpKernelContext* ctx) override {
    const auto strings = ctx->input(0).flat<tstring>();
    Tensor* variants;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(0).shape(), &variants));
    auto out = variants->flat<Variant>();
    for (int64_t i = 0; i < strings.size(); ++i) {
      std::string message;
      OP_REQUIRES_OK(ctx, ElementStatus(type_string(), i, [&] { Read(strings(i), &message); }));
      out(i) = VariantOfBytes(type_, std::move(message));
    }
  }

 private:
  void Read(const tstring& string, std::string* message) const {
    int records = 0;
    if (string.empty()) return;
    frames_.ForEach(string, [&](data::Record* record) {
      if (++records > 1) {
        throw DataError(DataError::Code::kInvalidArgument,
                        "the string holds more than one record; string_to_variant_with_transform reads several.");
      }
      data::ConvertRecord(type_, type_, data::Pruning::kAsIs, record->data_source_key, &record->payload, message);
    });
    if (const uint32_t key = SourceKey(*message)) data::SetDataSourceKey(type_, key, message);
  }

  // What the record's channel, or the default, says of its source; 0 for nothing.
  uint32_t SourceKey(const std::string& message) const {
    if (keys_.empty()) return default_key_;
    const auto it = keys_.find(data::RecordHead(type_, message).Ints("chnid")[0]);
    return it == keys_.end() ? default_key_ : it->second;
  }

  const MessageType type_;
  const StringFrames frames_;
  std::unordered_map<int64_t, uint32_t> keys_;
  uint32_t default_key_ = 0;
};

class StringToVariantWithTransformOp : public OpKernel {
 public:
  explicit StringToVariantWithTransformOp(OpKernelConstruction* ctx)
      : OpKernel(ctx),
        input_(VariantTypeOf(ctx, "input_type")),
        output_(VariantTypeOf(ctx, "output_type")),
        frames_(ctx) {
    OP_REQUIRES(ctx, data::CanConvert(input_, output_) && output_ != MessageType::kPlaintext,
                absl::InvalidArgumentError(absl::StrCat(
                    type_string(), ": input_type ", data::NameOf(input_), " cannot become output_type ",
                    data::NameOf(output_), "; use instance, example and example_batch, which only itself becomes.")));
  }

  void Compute(OpKernelContext* ctx) override {
    const auto strings = ctx->input(0).flat<tstring>();
    std::vector<std::string> messages;
    for (int64_t i = 0; i < strings.size(); ++i) {
      OP_REQUIRES_OK(ctx, ElementStatus(type_string(), i, [&] {
                       frames_.ForEach(strings(i), [&](data::Record* record) { Convert(record, &messages); });
                     }));
    }
    Tensor* variants;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {static_cast<int64_t>(messages.size())}, &variants));
    auto out = variants->flat<Variant>();
    for (size_t i = 0; i < messages.size(); ++i) out(i) = VariantOfBytes(output_, std::move(messages[i]));
  }

 private:
  void Convert(data::Record* record, std::vector<std::string>* messages) const {
    if (!data::GivesRows(input_, output_)) {
      messages->emplace_back();
      return data::ConvertRecord(input_, output_, data::Pruning::kAsIs, record->data_source_key, &record->payload,
                                 &messages->back());
    }
    data::CheckMessage(input_, record->payload);
    const data::BatchRows rows(record->payload, data::Pruning::kAsIs);
    for (int64_t row = 0; row < rows.num_rows(); ++row) {
      messages->emplace_back();
      data::ConvertRow(rows, row, output_, record->data_source_key, &messages->back());
    }
  }

  const MessageType input_, output_;
  const StringFrames frames_;
};

class VariantToZerosOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* ctx) override {
    Tensor* zeros;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(0).shape(), &zeros));
    zeros->flat<int64_t>().setZero();
  }
};

REGISTER_KERNEL_BUILDER(Name("StringToVariant").Device(DEVICE_CPU), StringToVariantOp);
REGISTER_KERNEL_BUILDER(Name("StringToVariantWithTransform").Device(DEVICE_CPU), StringToVariantWithTransformOp);
REGISTER_KERNEL_BUILDER(Name("VariantToZeros").Device(DEVICE_CPU), VariantToZerosOp);

}  // namespace
}  // namespace monolith
