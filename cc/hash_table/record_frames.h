// SPDX-License-Identifier: Apache-2.0
// TFRecord frames: u64 length, checksum of the length, that many bytes, checksum of them; all little endian. A checksum is
// a CRC-32C, rotated and shifted so that a record of frames does not check as one.
#ifndef CC_HASH_TABLE_RECORD_FRAMES_H_
#define CC_HASH_TABLE_RECORD_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {

constexpr size_t kFrameHeader = 12;
constexpr size_t kFrameFooter = 4;

struct FrameScan {
  size_t bytes = 0;              // of the whole frames that were taken
  const char* damage = nullptr;  // what is wrong with the frame after them; null: nothing, or it is not all there
};

// Appends the payloads of the frames at the front of `bytes`, as views of it, at most `most` of them. Stops at the first
// that is damaged or not all there.
FrameScan TakeFrames(std::string_view bytes, uint64_t most, std::vector<std::string_view>* payloads);

// Gathers frames and hands them on, a block at a time.
class FrameBuffer {
 public:
  // `sink` takes whole frames, about `block_bytes` of them unless one alone is longer; false: it takes no more.
  using Sink = std::function<bool(std::string_view frames)>;
  FrameBuffer(size_t block_bytes, Sink sink);

  // Where the next payload goes, which has at most `most` bytes. Null once the sink takes no more.
  char* Begin(size_t most);
  // The payload begun last has `size` bytes.
  void End(size_t size);
  // Hands on what there is; false once the sink takes no more.
  bool Flush();

 private:
  // Fills in headers and footers.
  void Seal();

  const size_t block_bytes_;
  const Sink sink_;
  std::string block_;
  size_t used_ = 0;
  std::vector<std::string_view> payloads_;  // in the block
  bool refused_ = false;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_RECORD_FRAMES_H_
