// SPDX-License-Identifier: Apache-2.0
// What files of tables and of filters share: TFRecords that have their name only when they are complete.
#ifndef CC_KERNELS_RECORD_FILE_H_
#define CC_KERNELS_RECORD_FILE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tensorflow/core/lib/io/record_reader.h"
#include "tensorflow/core/lib/io/record_writer.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

constexpr char kSnappyCompression[] = "SNAPPY";
constexpr char kNoCompression[] = "";

// A TFRecord file that is complete on disk once Close has returned.
class RecordFile {
 public:
  absl::Status Open(::tensorflow::Env* env, const std::string& path, const char* compression);
  absl::Status Append(const std::string& record) { return writer_->WriteRecord(record); }
  absl::Status Close();

 private:
  std::unique_ptr<::tensorflow::WritableFile> file_;
  std::unique_ptr<::tensorflow::io::RecordWriter> writer_;
};

::tensorflow::io::RecordReaderOptions ReaderOptions(const char* compression);

// True if a ReadRecord into an empty `record` from a file without compression, which gave `read`, came to the end of the
// file after a whole record. TensorFlow's reader reports the same where less than the header of a record follows, and
// leaves what there is in `record`.
bool IsEndOfRecords(const absl::Status& read, const ::tensorflow::tstring& record);

// Reads up to `n` bytes at `offset` into `buffer`, or has `read` point to them elsewhere. OutOfRange, with what there was,
// where the file ends before.
absl::Status ReadAt(const ::tensorflow::RandomAccessFile& file, uint64_t offset, size_t n, char* buffer,
                    absl::string_view* read);

// "<path>-tmp-<random number>"
std::string TemporaryPath(const std::string& path);

// Files that are removed unless they were given their names.
class TemporaryFiles {
 public:
  explicit TemporaryFiles(::tensorflow::Env* env) : env_(env) {}
  ~TemporaryFiles();
  TemporaryFiles(const TemporaryFiles&) = delete;
  TemporaryFiles& operator=(const TemporaryFiles&) = delete;

  void Add(const std::string& path) { files_.emplace_back(TemporaryPath(path), path); }
  // The temporary path of the i-th file.
  const std::string& operator[](int i) const { return files_[i].first; }
  absl::Status Commit();

 private:
  ::tensorflow::Env* const env_;
  std::vector<std::pair<std::string, std::string>> files_;  // temporary path, path
};

// Runs work(i) for i in [0, n) on a bounded number of threads of its own: a save must not wait for pool threads that wait
// for it. After a failure no more work is begun; returns the failure of the smallest i.
absl::Status RunOnThreads(::tensorflow::Env* env, int n, const std::function<absl::Status(int)>& work);

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_FILE_H_
