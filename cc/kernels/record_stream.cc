// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_stream.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/data/convert_record.h"
#include "cc/data/data_error.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/platform/logging.h"

namespace monolith {
namespace {

using data::MessageType;

constexpr int64_t kMostWarnings = 10;  // of one stream

std::atomic<int64_t> num_damaged_records{0};

}  // namespace

int64_t NumDamagedRecords() { return num_damaged_records; }

absl::Status CheckConversion(MessageType input, MessageType output) {
  if (data::CanConvert(input, output)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "PBDataset: input_pb_type ", data::NameOf(input), " cannot become output_pb_type ", data::NameOf(output),
      "; inputs are instance, example and examplebatch, and only an examplebatch can become one."));
}

absl::Status RecordStream::Next(::tensorflow::Env* env, std::string* element, bool* end) {
  *end = false;
  if (done_) {
    *end = true;
    return absl::OkStatus();
  }
  if (reader_ == nullptr) TF_RETURN_IF_ERROR(Open(env));
  for (bool made = false; !made && !*end;) {
    if (next_row_ < rows_.num_rows()) {
      TF_RETURN_IF_ERROR(ReadRow(element, &made));
    } else {
      TF_RETURN_IF_ERROR(ReadRecord(element, &made, end));
    }
  }
  done_ = *end;
  if (done_ && num_damaged_ > 0) {
    LOG(WARNING) << (options_.file_name.empty() ? "stdin" : options_.file_name) << ": " << num_damaged_
                 << " damaged records were passed over.";
  }
  return absl::OkStatus();
}

void RecordStream::StartAt(uint64_t offset) {
  start_ = options_.file_name.empty() ? 0 : offset;
  reader_.reset();
  rows_ = data::BatchRows();
  next_row_ = 0;
  done_ = false;
}

absl::Status RecordStream::Open(::tensorflow::Env* env) {
  std::unique_ptr<data::ByteSource> source;
  TF_RETURN_IF_ERROR(OpenRecordFile(env, options_.file_name, options_.compression, &source));
  auto reader = std::make_unique<data::RecordReader>(std::move(source), options_.framing, options_.most_bytes,
                                                     options_.allow_truncated);
  TF_RETURN_IF_ERROR(ToStatus([&] { reader->SkipBytes(start_); }));
  reader_ = std::move(reader);
  return absl::OkStatus();
}

absl::Status RecordStream::ReadRecord(std::string* element, bool* made, bool* end) {
  bool found = false;
  const absl::Status read = ToStatus([&] { found = reader_->Next(&record_); });
  if (!read.ok()) {
    // Without its frame nobody knows where the next record begins.
    *end = true;
    return Damaged(read);
  }
  *end = !found;
  if (!found) return absl::OkStatus();
  if (data::GivesRows(options_.input, options_.output)) {
    return Damaged(ToStatus([&] {
      data::CheckMessage(options_.input, record_.payload);
      rows_ = data::BatchRows(record_.payload, options_.pruning);
      next_row_ = 0;
    }));
  }
  const absl::Status converted = ToStatus([&] {
    data::ConvertRecord(options_.input, options_.output, options_.pruning, record_.data_source_key, &record_.payload,
                        element);
  });
  *made = converted.ok();
  return Damaged(converted);
}

absl::Status RecordStream::ReadRow(std::string* element, bool* made) {
  const absl::Status converted =
      ToStatus([&] { data::ConvertRow(rows_, next_row_++, options_.output, record_.data_source_key, element); });
  *made = converted.ok();
  return Damaged(converted);
}

absl::Status RecordStream::Damaged(const absl::Status& status) {
  if (status.ok()) return status;
  const std::string file = options_.file_name.empty() ? "stdin" : options_.file_name;
  // Errors of a frame name both already.
  const std::string what = absl::StrContains(status.message(), file)
                               ? std::string(status.message())
                               : absl::StrCat(file, ": the record at offset ", record_.offset, ": ", status.message());
  if (!options_.skip_damaged) {
    return absl::Status(status.code(),
                        absl::StrCat(what, " Pass damaged_records='skip' to count such records and go on."));
  }
  ++num_damaged_records;
  if (++num_damaged_ <= kMostWarnings) LOG(WARNING) << what << " It is passed over.";
  return absl::OkStatus();
}

}  // namespace monolith
