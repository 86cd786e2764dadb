// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/deep_insight_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/core/platform/statusor.h"

namespace monolith {
namespace {

constexpr int64_t kLogEverySeconds = 600;

}  // namespace

DeepInsightClient::DeepInsightClient(Options options) : options_(std::move(options)) {}

std::string DeepInsightClient::DebugString() const {
  return absl::StrCat("deep insight client", options_.filename.empty() ? "" : " that writes ", options_.filename);
}

absl::Status DeepInsightClient::Open(::tensorflow::Env* env) {
  if (options_.filename.empty()) return absl::OkStatus();
  TF_ASSIGN_OR_RETURN(file_, SharedRecordFile::Open(env, options_.filename));
  return absl::OkStatus();
}

absl::Status DeepInsightClient::Take(std::vector<std::string> messages, int64_t second) {
  if (options_.counts) Count(messages, second);
  if (file_ == nullptr) return absl::OkStatus();
  const std::string error = file_->Put(std::move(messages));
  if (error.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("messages of deep insight could not be written to ", options_.filename, ": ",
                                          error, "; make room there, or choose another dump_filename."));
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
