// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/record_frames.h"

#include <cstring>

#include "cc/hash_table/crc32c.h"

namespace monolith {
namespace {

constexpr size_t kLength = 8;

uint32_t Masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xA282EAD8; }

template <typename T>
T Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace

FrameScan TakeFrames(std::string_view bytes, uint64_t most, std::vector<std::string_view>* payloads) {
  FrameScan scan;
  const size_t first = payloads->size();
  for (uint64_t i = 0; i < most && bytes.size() - scan.bytes >= kFrameHeader; ++i) {
    const char* at = bytes.data() + scan.bytes;
    if (Masked(Crc32c({at, kLength})) != Load<uint32_t>(at + kLength)) {
      scan.damage = "the checksum of its length is wrong";
      break;
    }
    const uint64_t size = Load<uint64_t>(at), left = bytes.size() - scan.bytes - kFrameHeader;
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

void SealFrames(char* frames, const std::vector<uint32_t>& sizes) {
  std::vector<std::string_view> payloads;
  payloads.reserve(sizes.size());
  for (const uint32_t size : sizes) {
    const uint64_t length = size;
    std::memcpy(frames, &length, kLength);
    const uint32_t checksum = Masked(Crc32c({frames, kLength}));
    std::memcpy(frames + kLength, &checksum, sizeof(checksum));
    payloads.emplace_back(frames + kFrameHeader, size);
    frames += kFrameHeader + size + kFrameFooter;
  }
  std::vector<uint32_t> crcs(sizes.size());
  Crc32cEach(payloads.data(), payloads.size(), crcs.data());
  for (size_t i = 0; i < sizes.size(); ++i) {
    const uint32_t checksum = Masked(crcs[i]);
    std::memcpy(const_cast<char*>(payloads[i].data()) + sizes[i], &checksum, sizeof(checksum));
  }
}

}  // namespace monolith
