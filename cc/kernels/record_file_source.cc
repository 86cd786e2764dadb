// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_file_source.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "cc/data/data_error.h"
#include "cc/kernels/record_file.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/platform/file_system.h"
#include "tensorflow/core/platform/snappy.h"

namespace monolith {
namespace {

using ::tensorflow::RandomAccessFile;

class FileSource : public data::ByteSource {
 public:
  FileSource(std::unique_ptr<RandomAccessFile> file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}

  size_t Read(char* out, size_t n) override {
    absl::string_view read;
    const absl::Status status = ReadAt(*file_, at_, n, out, &read);
    // At the end of a file, what there was comes with an error.
    if (!status.ok() && !absl::IsOutOfRange(status)) {
      throw DataError(DataError::Code::kDataLoss, path_ + ": reading at offset " + std::to_string(at_) +
                                                      " fails: " + std::string(status.message()));
    }
    if (!read.empty() && read.data() != out) std::memmove(out, read.data(), read.size());
    at_ += read.size();
    return read.size();
  }
  const std::string& name() const override { return path_; }

 private:
  const std::unique_ptr<RandomAccessFile> file_;
  const std::string path_;
  uint64_t at_ = 0;
};

class StdinSource : public data::ByteSource {
 public:
  size_t Read(char* out, size_t n) override {
    while (true) {
      const ssize_t got = ::read(STDIN_FILENO, out, n);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) {
        throw DataError(DataError::Code::kDataLoss, std::string("stdin cannot be read: ") + std::strerror(errno) + ".");
      }
    }
  }
  const std::string& name() const override { return name_; }

 private:
  const std::string name_ = "stdin";
};

data::SnappyCodec TensorFlowSnappy() {
  data::SnappyCodec codec;
  codec.uncompressed_size = [](std::string_view chunk, size_t* size) {
    return ::tensorflow::port::Snappy_GetUncompressedLength(chunk.data(), chunk.size(), size);
  };
  codec.uncompress = [](std::string_view chunk, char* bytes) {
    return ::tensorflow::port::Snappy_Uncompress(chunk.data(), chunk.size(), bytes);
  };
  return codec;
}

}  // namespace

absl::Status OpenRecordFile(::tensorflow::Env* env, const std::string& path, data::Compression compression,
                            std::unique_ptr<data::ByteSource>* source) {
  std::unique_ptr<data::ByteSource> bytes;
  if (path.empty()) {
    bytes = std::make_unique<StdinSource>();
    compression = data::Compression::kNone;
  } else {
    std::unique_ptr<RandomAccessFile> file;
    TF_RETURN_IF_ERROR(env->NewRandomAccessFile(path, &file));
    bytes = std::make_unique<FileSource>(std::move(file), path);
  }
  return ToStatus([&] { *source = data::Decompressed(std::move(bytes), compression, TensorFlowSnappy()); });
}

}  // namespace monolith
