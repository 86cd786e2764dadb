// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/shared_record_file.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/core/platform/path.h"

namespace monolith {
namespace {

constexpr size_t kMostWaiting = 8192;

// A path that this process has written to.
struct Path {
  std::weak_ptr<SharedRecordFile> file;
  bool is_open = false;  // still while the last records are written, when `file` has expired
};

struct Paths {
  std::mutex mutex;
  std::condition_variable closed;
  std::map<std::string, Path> by_name;  // guarded by mutex
};

Paths& OpenedPaths() {
  static Paths* const paths = new Paths;  // files may be closed while the process ends
  return *paths;
}

}  // namespace

absl::StatusOr<std::shared_ptr<SharedRecordFile>> SharedRecordFile::Open(::tensorflow::Env* env,
                                                                         const std::string& filename) {
  Paths& paths = OpenedPaths();
  std::unique_lock<std::mutex> lock(paths.mutex);
  const auto known = paths.by_name.find(filename);
  const bool appends = known != paths.by_name.end();
  while (appends && known->second.is_open) {
    if (std::shared_ptr<SharedRecordFile> shared = known->second.file.lock()) return shared;
    paths.closed.wait(lock);
  }
  std::unique_ptr<SharedRecordFile> opened(new SharedRecordFile);
  TF_RETURN_IF_ERROR(opened->OpenFile(env, filename, appends));
  const std::shared_ptr<SharedRecordFile> file(opened.release(), [&paths, filename](SharedRecordFile* closing) {
    delete closing;
    {
      const std::lock_guard<std::mutex> lock(paths.mutex);
      paths.by_name[filename].is_open = false;
    }
    paths.closed.notify_all();
  });
  paths.by_name[filename] = {file, true};
  return file;
}

SharedRecordFile::~SharedRecordFile() {
  if (records_ == nullptr) return;
  records_.reset();
  absl::Status status = writer_->Close();
  status.Update(file_->Close());
  if (!status.ok()) LOG(ERROR) << "The end of " << filename_ << " could not be written: " << status;
}

absl::Status SharedRecordFile::OpenFile(::tensorflow::Env* env, const std::string& filename, bool appends) {
  filename_ = filename;
  const std::string directory(::tensorflow::io::Dirname(filename));
  if (!directory.empty()) TF_RETURN_IF_ERROR(env->RecursivelyCreateDir(directory));
  TF_RETURN_IF_ERROR(appends ? env->NewAppendableFile(filename, &file_) : env->NewWritableFile(filename, &file_));
  writer_ = std::make_unique<::tensorflow::io::RecordWriter>(file_.get());
  records_ = std::make_unique<BackgroundRecords>(
      kMostWaiting, [this](const std::vector<std::string>& records) { return Write(records); });
  return absl::OkStatus();
}

std::string SharedRecordFile::Write(const std::vector<std::string>& records) {
  absl::Status status;
  for (const std::string& record : records) status.Update(writer_->WriteRecord(record));
  // Nothing else waits at the moment, or little: readers see all that there is.
  status.Update(writer_->Flush());
  status.Update(file_->Flush());
  return status.ok() ? std::string() : status.ToString();
}

}  // namespace monolith
