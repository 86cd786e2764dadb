// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/record_frames.h"

#include <cstring>
#include <utility>

#include "cc/hash_table/crc32c.h"

namespace monolith {
namespace {

constexpr size_t kLength = 8;
constexpr size_t kFetched = 2048;  // bytes ahead of where frames are taken

uint32_t Masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xA282EAD8; }

template <typename T>
T Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

void Store(char* at, uint32_t value) { std::memcpy(at, &value, sizeof(value)); }

// Masked checksums of lengths, of which most equal the one before.
class LengthChecksum {
 public:
  uint32_t Of(uint64_t length) {
    if (length != length_) {
      length_ = length;
      masked_ = Masked(Crc32c({reinterpret_cast<const char*>(&length), kLength}));
    }
    return masked_;
  }

 private:
  uint64_t length_ = ~uint64_t{0};
  uint32_t masked_ = Masked(Crc32c({reinterpret_cast<const char*>(&length_), kLength}));
};

}  // namespace

FrameScan TakeFrames(std::string_view bytes, uint64_t most, std::vector<std::string_view>* payloads) {
  FrameScan scan;
  const size_t first = payloads->size();
  LengthChecksum checksum;
  for (uint64_t i = 0; i < most && bytes.size() - scan.bytes >= kFrameHeader; ++i) {
    const char* at = bytes.data() + scan.bytes;
    __builtin_prefetch(at + kFetched);
    __builtin_prefetch(at + kFetched + 64);
    __builtin_prefetch(at + kFetched + 128);
    const uint64_t size = Load<uint64_t>(at), left = bytes.size() - scan.bytes - kFrameHeader;
    if (checksum.Of(size) != Load<uint32_t>(at + kLength)) {
      scan.damage = "the checksum of its length is wrong";
      break;
    }
    if (left < kFrameFooter || size > left - kFrameFooter) break;
    payloads->emplace_back(at + kFrameHeader, size);
    scan.bytes += kFrameHeader + size + kFrameFooter;
  }
  const size_t n = payloads->size() - first;
  std::vector<uint32_t> crcs(n);
  Crc32cEach(payloads->data() + first, n, crcs.data());
  for (size_t i = 0; i < n; ++i) {
    const std::string_view payload = (*payloads)[first + i];
    if (Masked(crcs[i]) == Load<uint32_t>(payload.data() + payload.size())) continue;
    payloads->resize(first + i);
    return {static_cast<size_t>(payload.data() - kFrameHeader - bytes.data()), "its checksum is wrong"};
  }
  return scan;
}

FrameBuffer::FrameBuffer(size_t block_bytes, Sink sink)
    : block_bytes_(block_bytes), sink_(std::move(sink)), block_(block_bytes, '\0') {}

char* FrameBuffer::Begin(size_t most) {
  const size_t frame = kFrameHeader + most + kFrameFooter;
  if (refused_ || (used_ + frame > block_bytes_ && !Flush())) return nullptr;
  if (frame > block_.size()) block_.resize(frame);  // the block is empty: no view of it is out
  return &block_[used_ + kFrameHeader];
}

void FrameBuffer::End(size_t size) {
  payloads_.emplace_back(&block_[used_ + kFrameHeader], size);
  used_ += kFrameHeader + size + kFrameFooter;
}

bool FrameBuffer::Flush() {
  if (used_ == 0 || refused_) return !refused_;
  Seal();
  refused_ = !sink_({block_.data(), used_});
  used_ = 0;
  payloads_.clear();
  return !refused_;
}

void FrameBuffer::Seal() {
  std::vector<uint32_t> crcs(payloads_.size());
  Crc32cEach(payloads_.data(), payloads_.size(), crcs.data());
  LengthChecksum checksum;
  char* frame = block_.data();
  for (size_t i = 0; i < payloads_.size(); ++i) {
    const uint64_t size = payloads_[i].size();
    std::memcpy(frame, &size, kLength);
    Store(frame + kLength, checksum.Of(size));
    Store(frame + kFrameHeader + size, Masked(crcs[i]));
    frame += kFrameHeader + size + kFrameFooter;
  }
}

}  // namespace monolith
