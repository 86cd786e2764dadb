// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_blocks.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/compress_frames.h"
#include "cc/hash_table/record_frames.h"
#include "cc/kernels/record_file.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/snappy.h"

namespace monolith {
namespace {

constexpr uint64_t kRead = uint64_t{64} << 10;  // at least, of compressed files, whose blocks are read whole
constexpr uint64_t kReadRaw = uint64_t{256} << 10;
constexpr uint64_t kBeginWriting = uint64_t{8} << 20;
constexpr size_t kBlockLength = 4;
// No element of Snappy makes more of a byte: three of them copy up to 64.
constexpr uint64_t kMostExpansion = 22;

absl::Status Damage(const std::string& what) { return absl::DataLossError(what); }

}  // namespace

char* ByteQueue::Room(size_t n) {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + n) buffer_.resize(end_ + n);
  return buffer_.data() + end_;
}

absl::Status RecordBlocks::Open(::tensorflow::Env* env, const std::string& path, const char* compression) {
  compressed_ = std::string_view(compression) == kSnappyCompression;
  TF_RETURN_IF_ERROR(env->GetFileSize(path, &size_));
  return env->NewRandomAccessFile(path, &file_);
}

absl::Status RecordBlocks::Next(uint64_t most, std::vector<std::string_view>* records) {
  records->clear();
  while (true) {
    const FrameScan scan = TakeFrames(stream_.bytes(), most, records);
    if (!records->empty()) {
      stream_.Take(scan.bytes);  // the views hold: nothing is added before the next call
      return absl::OkStatus();
    }
    if (scan.damage != nullptr) return Damage(scan.damage);
    if (AtEnd()) return stream_.bytes().empty() ? absl::OkStatus() : Damage("it ends within a record");
    TF_RETURN_IF_ERROR(Fill());
  }
}

absl::Status RecordBlocks::CheckEnd() {
  while (stream_.bytes().empty() && !AtEnd()) TF_RETURN_IF_ERROR(Fill());
  return stream_.bytes().empty() ? absl::OkStatus() : Damage("it goes on after the last record");
}

absl::Status RecordBlocks::Fill() { return compressed_ ? FillBlock() : FillRaw(); }

absl::Status RecordBlocks::FillRaw() {
  const uint64_t n = std::min(kReadRaw, size_ - read_);
  char* room = stream_.Room(n);
  absl::string_view got;
  TF_RETURN_IF_ERROR(ReadAt(*file_, read_, n, room, &got));
  if (got.data() != room) std::memcpy(room, got.data(), got.size());
  stream_.Added(n);
  read_ += n;
  taken_ = read_;
  return absl::OkStatus();
}

absl::Status RecordBlocks::FillBlock() {
  const uint64_t left = size_ - taken_;
  const auto no_block = [left] { return Damage(absl::StrCat("its last ", left, " bytes are no block")); };
  if (left <= kBlockLength) return no_block();
  TF_RETURN_IF_ERROR(Fetch(kBlockLength));
  uint64_t length = 0;
  for (size_t i = 0; i < kBlockLength; ++i) length = length << 8 | static_cast<uint8_t>(file_bytes_.bytes()[i]);
  if (length > left - kBlockLength) return no_block();
  // With the length of the next block, so that nothing else is left over, to be moved.
  TF_RETURN_IF_ERROR(Fetch(std::min(kBlockLength + length + kBlockLength, left)));
  const char* block = file_bytes_.bytes().data() + kBlockLength;
  size_t decompressed;
  if (!::tensorflow::port::Snappy_GetUncompressedLength(block, length, &decompressed) ||
      decompressed > length * kMostExpansion) {
    return no_block();
  }
  if (!::tensorflow::port::Snappy_Uncompress(block, length, stream_.Room(decompressed))) {
    return Damage(absl::StrCat("the block at byte ", taken_, " cannot be decompressed"));
  }
  stream_.Added(decompressed);
  file_bytes_.Take(kBlockLength + length);
  taken_ += kBlockLength + length;
  return absl::OkStatus();
}

absl::Status RecordBlocks::Fetch(uint64_t n) {
  const uint64_t there = read_ - taken_;
  if (there >= n) return absl::OkStatus();
  const uint64_t wanted = std::min(std::max(n - there, kRead), size_ - read_);
  char* room = file_bytes_.Room(wanted);
  absl::string_view got;
  TF_RETURN_IF_ERROR(ReadAt(*file_, read_, wanted, room, &got));
  if (got.data() != room) std::memcpy(room, got.data(), got.size());
  file_bytes_.Added(wanted);
  read_ += wanted;
  return absl::OkStatus();
}

BlockFile::~BlockFile() {
  if (local_ >= 0) ::close(local_);
}

absl::Status BlockFile::Open(::tensorflow::Env* env, const std::string& path, const char* compression) {
  compressed_ = std::string_view(compression) == kSnappyCompression;
  TF_RETURN_IF_ERROR(env->NewWritableFile(path, &file_));
  local_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);  // a path that is none of the system's own opens nothing
  return absl::OkStatus();
}

absl::Status BlockFile::Append(std::string_view frames) {
  for (; compressed_ && !frames.empty(); frames.remove_prefix(std::min(frames.size(), kBlockBytes))) {
    TF_RETURN_IF_ERROR(AppendBlock(frames.substr(0, kBlockBytes)));
  }
  if (!compressed_) {
    TF_RETURN_IF_ERROR(file_->Append(frames));
    appended_ += frames.size();
  }
  if (appended_ - begun_ >= kBeginWriting) BeginWriting();
  return absl::OkStatus();
}

absl::Status BlockFile::AppendBlock(std::string_view block) {
  if (block_.empty()) block_.resize(kBlockLength + MostCompressedBytes(kBlockBytes));
  char* const compressed = block_.data() + kBlockLength;
  const size_t length = CompressFrames(block, compressed) - compressed;
  for (size_t i = 0; i < kBlockLength; ++i) block_[i] = static_cast<char>(length >> (8 * (kBlockLength - 1 - i)));
  appended_ += kBlockLength + length;
  return file_->Append(absl::string_view(block_.data(), kBlockLength + length));
}

void BlockFile::BeginWriting() {
#ifdef SYNC_FILE_RANGE_WRITE
  if (local_ >= 0) ::sync_file_range(local_, begun_, appended_ - begun_, SYNC_FILE_RANGE_WRITE);  // a hint
#endif
  begun_ = appended_;
}

absl::Status BlockFile::Close() {
  TF_RETURN_IF_ERROR(file_->Sync());
  if (local_ >= 0 && ::fsync(local_) != 0) {
    return absl::ErrnoToStatus(errno, "the file's bytes did not reach the disk");
  }
  return file_->Close();
}

}  // namespace monolith
