// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_file.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/random.h"

namespace monolith {

using ::tensorflow::Env;
using ::tensorflow::io::RecordReaderOptions;
using ::tensorflow::io::RecordWriter;
using ::tensorflow::io::RecordWriterOptions;

namespace {

constexpr int kMostThreads = 16;

}  // namespace

absl::Status RecordFile::Open(Env* env, const std::string& path, const char* compression) {
  TF_RETURN_IF_ERROR(env->NewWritableFile(path, &file_));
  writer_ = std::make_unique<RecordWriter>(file_.get(), RecordWriterOptions::CreateRecordWriterOptions(compression));
  return absl::OkStatus();
}

absl::Status RecordFile::Close() {
  TF_RETURN_IF_ERROR(writer_->Close());
  TF_RETURN_IF_ERROR(file_->Sync());
  return file_->Close();
}

RecordReaderOptions ReaderOptions(const char* compression) {
  constexpr int64_t kReadBuffer = int64_t{1} << 20;
  RecordReaderOptions options = RecordReaderOptions::CreateRecordReaderOptions(compression);
  options.buffer_size = kReadBuffer;
  return options;
}

bool IsEndOfRecords(const absl::Status& read, const ::tensorflow::tstring& record) {
  return absl::IsOutOfRange(read) && record.empty();
}

absl::Status ReadAt(const ::tensorflow::RandomAccessFile& file, uint64_t offset, size_t n, char* buffer,
                    absl::string_view* read) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // its successor is not in every version that this builds on
  return file.Read(offset, n, read, buffer);
#pragma GCC diagnostic pop
}

std::string TemporaryPath(const std::string& path) {
  return absl::StrCat(path, "-tmp-", ::tensorflow::random::New64());
}

TemporaryFiles::~TemporaryFiles() {
  for (const auto& [temporary, path] : files_) {
    if (env_->FileExists(temporary).ok()) env_->DeleteFile(temporary).IgnoreError();
  }
}

absl::Status TemporaryFiles::Commit() {
  for (const auto& [temporary, path] : files_) TF_RETURN_IF_ERROR(env_->RenameFile(temporary, path));
  return absl::OkStatus();
}

absl::Status RunOnThreads(Env* env, int n, const std::function<absl::Status(int)>& work) {
  std::vector<absl::Status> statuses(n);
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};
  const auto take_turns = [&] {
    for (int i = next++; i < n && !failed; i = next++) {
      statuses[i] = work(i);
      if (!statuses[i].ok()) failed = true;
    }
  };
  {
    std::vector<std::unique_ptr<::tensorflow::Thread>> threads;  // joined at the end of the scope
    for (int i = 1; i < std::min(n, kMostThreads); ++i) {
      threads.emplace_back(env->StartThread({}, "record_files", take_turns));
    }
    take_turns();
  }
  absl::Status status;
  for (const absl::Status& one : statuses) status.Update(one);
  return status;
}

}  // namespace monolith
