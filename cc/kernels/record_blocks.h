// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_RECORD_BLOCKS_H_
#define CC_KERNELS_RECORD_BLOCKS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cc/kernels/read_ahead.h"
#include "cc/kernels/write_behind.h"
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
  // Records that have been read or decompressed, and not been handed out.
  std::string_view Here() const { return !compressed_ ? file_.bytes() : plain_.empty() ? stream_.bytes() : plain_; }
  void Take(size_t n);
  // True if nothing follows what is here.
  bool AtEnd() const { return file_.Ended() && (!compressed_ || file_.bytes().empty()); }
  // Adds to what is here. Requires: !AtEnd().
  absl::Status Fill() { return compressed_ ? FillBlock() : file_.More(); }
  absl::Status FillBlock();
  // Adds what a block holds to `stream_`.
  absl::Status Decompress(std::string_view block);

  ReadAhead file_;
  bool compressed_ = false;
  uint64_t taken_ = 0;      // bytes of a compressed file whose records are here, or were
  ByteQueue stream_;        // of records
  std::string_view plain_;  // in file_: of a block that needed no decompression. `stream_` is empty meanwhile
};

// Writes such a file, which is complete on disk once Close has returned.
class BlockFile {
 public:
  absl::Status Open(::tensorflow::Env* env, const std::string& path, const char* compression);
  // Appends whole frames.
  absl::Status Append(std::string_view frames);
  absl::Status Close() { return file_.Close(); }

  // About how many bytes Append should be given: a block of the file, which TensorFlow's reader has room for.
  static constexpr size_t kBlockBytes = size_t{256} << 10;

 private:
  absl::Status AppendBlock(std::string_view block);

  WriteBehind file_;
  bool compressed_ = false;
};

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_BLOCKS_H_
