// SPDX-License-Identifier: Apache-2.0
// TFRecord frames: u64 length, checksum of the length, that many bytes, checksum of them; all little endian. A checksum is
// a CRC-32C, rotated and shifted so that a record of frames does not check as one.
#ifndef CC_HASH_TABLE_RECORD_FRAMES_H_
#define CC_HASH_TABLE_RECORD_FRAMES_H_

#include <cstddef>
#include <cstdint>
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

// Fills in the header and footer of frames that lie back to back from `frames` on, whose payloads are in their places;
// payload i has sizes[i] bytes.
void SealFrames(char* frames, const std::vector<uint32_t>& sizes);

}  // namespace monolith

#endif  // CC_HASH_TABLE_RECORD_FRAMES_H_
