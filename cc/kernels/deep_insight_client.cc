// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/deep_insight_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/core/platform/path.h"

namespace monolith {
namespace {

constexpr size_t kMostWaiting = 8192;
constexpr int64_t kLogEverySeconds = 600;

}  // namespace

DeepInsightClient::DeepInsightClient(Options options) : options_(std::move(options)) {}

DeepInsightClient::~DeepInsightClient() {
  if (records_ == nullptr) return;
  records_.reset();
  absl::Status status = writer_->Close();
  status.Update(file_->Close());
  if (!status.ok()) LOG(ERROR) << "The end of " << options_.filename << " could not be written: " << status;
}

std::string DeepInsightClient::DebugString() const {
  return absl::StrCat("deep insight client", options_.filename.empty() ? "" : " that writes ", options_.filename);
}

absl::Status DeepInsightClient::Open(::tensorflow::Env* env) {
  if (options_.filename.empty()) return absl::OkStatus();
  const std::string directory(::tensorflow::io::Dirname(options_.filename));
  if (!directory.empty()) TF_RETURN_IF_ERROR(env->RecursivelyCreateDir(directory));
  TF_RETURN_IF_ERROR(env->NewWritableFile(options_.filename, &file_));
  writer_ = std::make_unique<::tensorflow::io::RecordWriter>(file_.get());
  records_ = std::make_unique<BackgroundRecords>(
      kMostWaiting, [this](const std::vector<std::string>& records) { return Write(records); });
  return absl::OkStatus();
}

absl::Status DeepInsightClient::Take(std::vector<std::string> messages, int64_t second) {
  if (options_.counts) Count(messages, second);
  if (records_ == nullptr) return absl::OkStatus();
  const std::string error = records_->Put(std::move(messages));
  if (error.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("messages of deep insight could not be written to ", options_.filename, ": ",
                                          error, "; make room there, or choose another dump_filename."));
}

std::string DeepInsightClient::Write(const std::vector<std::string>& records) {
  absl::Status status;
  for (const std::string& record : records) status.Update(writer_->WriteRecord(record));
  // Nothing else waits at the moment, or little: readers see all that there is.
  status.Update(writer_->Flush());
  status.Update(file_->Flush());
  return status.ok() ? std::string() : status.ToString();
}

void DeepInsightClient::Count(const std::vector<std::string>& messages, int64_t second) {
  const std::lock_guard<std::mutex> lock(mutex_);
  num_rows_ += static_cast<int64_t>(messages.size());
  num_messages_ += std::count_if(messages.begin(), messages.end(), [](const std::string& m) { return !m.empty(); });
  if (logged_at_ < 0) logged_at_ = second;
  if (second - logged_at_ < kLogEverySeconds) return;
  logged_at_ = second;
  LOG(INFO) << "Deep insight: " << num_messages_ << " of " << num_rows_ << " rows sampled so far.";
}

}  // namespace monolith
