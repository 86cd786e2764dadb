// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_blocks.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/compress_frames.h"
#include "cc/hash_table/record_frames.h"
#include "cc/kernels/record_file.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/snappy.h"

namespace monolith {
namespace {

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
  return file_.Open(env, path);
}

absl::Status RecordBlocks::Next(uint64_t most, std::vector<std::string_view>* records) {
  records->clear();
  while (true) {
    const FrameScan scan = TakeFrames(Here(), most, records);
    if (!records->empty()) {
      Take(scan.bytes);  // the views hold: nothing is added before the next call
      return absl::OkStatus();
    }
    if (scan.damage != nullptr) return Damage(scan.damage);
    if (AtEnd()) return Here().empty() ? absl::OkStatus() : Damage("it ends within a record");
    TF_RETURN_IF_ERROR(Fill());
  }
}

absl::Status RecordBlocks::CheckEnd() {
  while (Here().empty() && !AtEnd()) TF_RETURN_IF_ERROR(Fill());
  return Here().empty() ? absl::OkStatus() : Damage("it goes on after the last record");
}

void RecordBlocks::Take(size_t n) {
  if (!compressed_) return file_.Take(n);
  if (plain_.empty()) return stream_.Take(n);
  plain_.remove_prefix(n);
}

absl::Status RecordBlocks::FillBlock() {
  if (!plain_.empty()) {  // a record goes on in the next block
    std::memcpy(stream_.Room(plain_.size()), plain_.data(), plain_.size());
    stream_.Added(plain_.size());
    plain_ = {};
  }
  const uint64_t left = file_.size() - taken_;
  const auto no_block = [left] { return Damage(absl::StrCat("its last ", left, " bytes are no block")); };
  if (left <= kBlockLength) return no_block();
  TF_RETURN_IF_ERROR(file_.Have(kBlockLength));
  uint64_t length = 0;
  for (size_t i = 0; i < kBlockLength; ++i) length = length << 8 | static_cast<uint8_t>(file_.bytes()[i]);
  if (length > left - kBlockLength) return no_block();
  TF_RETURN_IF_ERROR(file_.Have(kBlockLength + length));
  const std::string_view block = file_.bytes().substr(kBlockLength, length);
  plain_ = stream_.bytes().empty() ? PlainBlock(block) : std::string_view();
  if (plain_.empty()) TF_RETURN_IF_ERROR(Decompress(block));
  file_.Take(kBlockLength + length);  // a plain block stays where it is until more is read
  taken_ += kBlockLength + length;
  return absl::OkStatus();
}

absl::Status RecordBlocks::Decompress(std::string_view block) {
  size_t decompressed;
  if (!::tensorflow::port::Snappy_GetUncompressedLength(block.data(), block.size(), &decompressed) ||
      decompressed > block.size() * kMostExpansion) {
    return Damage(absl::StrCat("its last ", file_.size() - taken_, " bytes are no block"));
  }
  if (!::tensorflow::port::Snappy_Uncompress(block.data(), block.size(), stream_.Room(decompressed))) {
    return Damage(absl::StrCat("the block at byte ", taken_, " cannot be decompressed"));
  }
  stream_.Added(decompressed);
  return absl::OkStatus();
}

absl::Status BlockFile::Open(::tensorflow::Env* env, const std::string& path, const char* compression) {
  compressed_ = std::string_view(compression) == kSnappyCompression;
  return file_.Open(env, path);
}

absl::Status BlockFile::Append(std::string_view frames) {
  if (!compressed_) return file_.Append(frames);
  for (; !frames.empty(); frames.remove_prefix(std::min(frames.size(), kBlockBytes))) {
    TF_RETURN_IF_ERROR(AppendBlock(frames.substr(0, kBlockBytes)));
  }
  return absl::OkStatus();
}

absl::Status BlockFile::AppendBlock(std::string_view block) {
  char* const begin = file_.Room();  // kMostRoom is more than a block takes
  const size_t length = CompressFrames(block, begin + kBlockLength) - begin - kBlockLength;
  for (size_t i = 0; i < kBlockLength; ++i) begin[i] = static_cast<char>(length >> (8 * (kBlockLength - 1 - i)));
  return file_.Added(kBlockLength + length);
}

}  // namespace monolith
