// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_messages.h"

#include "absl/strings/str_cat.h"
#include "cc/data/convert.h"
#include "cc/kernels/record_variant.h"
#include "cc/kernels/status_util.h"

namespace monolith {
namespace {

using data::MessageType;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;

// A string is a message as a stream has it.
absl::Status ReadString(const std::string& who, MessageType type, const tstring& string, int64_t row,
                        std::string* read) {
  const std::string_view bytes(string.data(), string.size());
  const absl::Status status = ToStatus([&] {
    data::CheckMessage(type, bytes);
    if (type == MessageType::kExample) {
      data::ReadExample(bytes, data::Pruning::kRawFeatures, read);
    } else {
      read->assign(bytes);
    }
  });
  return status.ok() ? status
                     : absl::Status(status.code(), absl::StrCat(who, ": pb_input[", row, "]: ", status.message()));
}

}  // namespace

absl::Status ReadRecordMessages(OpKernelContext* ctx, MessageType type, const Tensor& input, RecordMessages* messages) {
  const std::string& who = ctx->op_kernel().type_string();
  const bool is_batch = type == MessageType::kExampleBatch;
  if (is_batch ? input.dims() > 1 || input.NumElements() != 1 : input.dims() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        who, ": pb_input has shape ", input.shape().DebugString(), "; pass ",
        is_batch ? "a scalar or a vector of one element." : "a vector, one element a row (batch the dataset)."));
  }
  const int64_t n = input.NumElements();
  if (input.dtype() == ::tensorflow::DT_STRING) {
    const auto strings = input.flat<tstring>();
    messages->read.resize(n);
    for (int64_t i = 0; i < n; ++i) {
      TF_RETURN_IF_ERROR(ReadString(who, type, strings(i), i, &messages->read[i]));
    }
    messages->views.assign(messages->read.begin(), messages->read.end());
    return absl::OkStatus();
  }
  const auto variants = input.flat<::tensorflow::Variant>();
  for (int64_t i = 0; i < n; ++i) {
    const std::string* bytes = BytesOfVariant(type, variants(i));
    if (bytes == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(who, ": pb_input[", i, "] holds ", variants(i).is_empty() ? "nothing" : variants(i).TypeName(),
                       ", not ", data::NameOf(type), "; parse with the function for the dataset's output_pb_type."));
    }
    messages->views.emplace_back(*bytes);
  }
  return absl::OkStatus();
}

std::unique_ptr<data::RowBatch> NewRowBatch(MessageType type, const data::ColumnPlan* plan,
                                            const RecordMessages& messages) {
  if (type == MessageType::kInstance) return data::NewInstanceBatch(plan, messages.views, true);
  if (type == MessageType::kExample) return data::NewExampleRowBatch(plan, messages.views, true);
  return data::NewExampleBatchBatch(plan, messages.views[0], true);
}

}  // namespace monolith
