// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_RECORD_BLOCKS_H_
#define CC_KERNELS_RECORD_BLOCKS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// A buffer of bytes, taken from the front and added to at the end. Views of them hold until more are added.
class ByteQueue {
 public:
  std::string_view bytes() const { return {buffer_.data() + begin_, end_ - begin_}; }
  void Take(size_t n) { begin_ += n; }
  // Room for `n` more bytes, of which Added counts those that came.
  char* Room(size_t n);
  void Added(size_t n) { end_ += n; }

 private:
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;
};

// Reads the records of a file many at a time, as views of the bytes that were read or decompressed. Blocks of a compressed
// file are a big-endian length and that many bytes of Snappy; records lie across them as they come.
class RecordBlocks {
 public:
  absl::Status Open(::tensorflow::Env* env, const std::string& path, const char* compression);

  // The next records, at most `most`; they hold until the next call. None, and OK: the file has ended after a record.
  // DataLoss, which says what is wrong but not with which file, once a record is damaged or the file ends within one.
  absl::Status Next(uint64_t most, std::vector<std::string_view>* records);

  // OK if no byte follows the records read so far; else DataLoss, as Next.
  absl::Status CheckEnd();

 private:
  bool AtEnd() const { return taken_ == size_; }
  // Adds to `stream_`. Requires: the file has not ended.
  absl::Status Fill();
  absl::Status FillRaw();
  absl::Status FillBlock();
  // Has the next `n` bytes of the file in `file_bytes_`. Requires: there are so many.
  absl::Status Fetch(uint64_t n);

  std::unique_ptr<::tensorflow::RandomAccessFile> file_;
  bool compressed_ = false;
  uint64_t size_ = 0;
  uint64_t read_ = 0;     // bytes of the file that have been read,
  uint64_t taken_ = 0;    // and that have gone into the stream
  ByteQueue file_bytes_;  // [taken_, read_) of a compressed file
  ByteQueue stream_;      // of records
};

// Writes such a file, which is complete on disk once Close has returned.
class BlockFile {
 public:
  BlockFile() = default;
  ~BlockFile();
  BlockFile(const BlockFile&) = delete;
  BlockFile& operator=(const BlockFile&) = delete;

  absl::Status Open(::tensorflow::Env* env, const std::string& path, const char* compression);
  // Appends whole frames.
  absl::Status Append(std::string_view frames);
  absl::Status Close();

  // About how many bytes Append should be given: a block of the file, which TensorFlow's reader has room for.
  static constexpr size_t kBlockBytes = size_t{256} << 10;

 private:
  absl::Status AppendBlock(std::string_view block);
  // Has the system begin to write to the disk what the file has got since the last time.
  void BeginWriting();

  std::unique_ptr<::tensorflow::WritableFile> file_;
  bool compressed_ = false;
  std::string block_;      // compressed
  int local_ = -1;         // the file once more, if it is the operating system's own
  uint64_t appended_ = 0;  // bytes
  uint64_t begun_ = 0;     // of those, how many the system was told to write
};

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_BLOCKS_H_
