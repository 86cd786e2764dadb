// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_SHARED_RECORD_FILE_H_
#define CC_KERNELS_SHARED_RECORD_FILE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/monitoring/background_records.h"
#include "tensorflow/core/lib/io/record_writer.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// A file of uncompressed TFRecords that a thread of its own writes. Who opens a path that is open shares the file, and a
// path that this process has written to before is appended to; a file from before this process is replaced. Paths are
// told apart as they are written. Thread-safe.
class SharedRecordFile {
 public:
  // Makes the directories above the file. Waits while an earlier file of this path writes its last records.
  static absl::StatusOr<std::shared_ptr<SharedRecordFile>> Open(::tensorflow::Env* env, const std::string& filename);

  ~SharedRecordFile();  // writes what still waits
  SharedRecordFile(const SharedRecordFile&) = delete;
  SharedRecordFile& operator=(const SharedRecordFile&) = delete;

  // Hands the records to the thread, see BackgroundRecords.
  std::string Put(std::vector<std::string> records) { return records_->Put(std::move(records)); }

 private:
  SharedRecordFile() = default;

  absl::Status OpenFile(::tensorflow::Env* env, const std::string& filename, bool appends);
  std::string Write(const std::vector<std::string>& records);

  std::string filename_;
  std::unique_ptr<::tensorflow::WritableFile> file_;
  std::unique_ptr<::tensorflow::io::RecordWriter> writer_;
  std::unique_ptr<BackgroundRecords> records_;  // last: its thread uses the writer
};

}  // namespace monolith

#endif  // CC_KERNELS_SHARED_RECORD_FILE_H_
