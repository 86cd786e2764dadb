// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_DEEP_INSIGHT_CLIENT_H_
#define CC_KERNELS_DEEP_INSIGHT_CLIENT_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cc/kernels/shared_record_file.h"
#include "tensorflow/core/framework/resource_base.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// Where messages of deep insight go: a file, if it has one. Thread-safe once it is open.
class DeepInsightClient : public ::tensorflow::ResourceBase {
 public:
  struct Options {
    bool counts = false;
    bool is_fake = false;
    std::string filename;
  };

  explicit DeepInsightClient(Options options);

  std::string DebugString() const override;
  absl::Status Open(::tensorflow::Env* env);

  // Whether messages that no op returns are somewhere afterwards, or the caller does without them.
  bool HasSink() const { return options_.is_fake || file_ != nullptr; }

  // Takes a message for each row, empty ones for rows that were not sampled. Waits while the file is 8192 messages behind,
  // and fails once it could not be written.
  absl::Status Take(std::vector<std::string> messages, int64_t second);

 private:
  void Count(const std::vector<std::string>& messages, int64_t second);

  const Options options_;
  std::shared_ptr<SharedRecordFile> file_;

  std::mutex mutex_;
  int64_t num_rows_ = 0, num_messages_ = 0, logged_at_ = -1;  // guarded by mutex_
};

}  // namespace monolith

#endif  // CC_KERNELS_DEEP_INSIGHT_CLIENT_H_
