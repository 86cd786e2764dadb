// SPDX-License-Identifier: Apache-2.0
// The two layouts of a fid in training data. Version 1: slot in bits 54 to 63, signature below. Version 2: bit 63 is 0,
// slot in bits 48 to 62, signature below.
#ifndef CC_DATA_FID_H_
#define CC_DATA_FID_H_

#include <cstdint>
#include <string>

#include "cc/data/data_error.h"

namespace monolith {
namespace data {

constexpr int kV1SlotBits = 10, kV2SlotBits = 15;
constexpr int kV1SignatureBits = 54, kV2SignatureBits = 48;

inline uint64_t V1Signature(uint64_t fid) { return fid & ((uint64_t{1} << kV1SignatureBits) - 1); }
inline uint64_t V2Signature(uint64_t fid) { return fid & ((uint64_t{1} << kV2SignatureBits) - 1); }
inline uint32_t V1Slot(uint64_t fid) { return static_cast<uint32_t>(fid >> kV1SignatureBits); }
inline uint32_t V2Slot(uint64_t fid) { return static_cast<uint32_t>(fid >> kV2SignatureBits) & 0x7FFF; }

// The version-2 fid of a version-1 fid: the slot stays, the upper six bits of the signature are lost.
inline uint64_t V1ToV2(uint64_t fid) { return (fid >> kV1SignatureBits) << kV2SignatureBits | V2Signature(fid); }

// A fid of a slot and a signature, whose surplus bits are cut off. Throws when there is no such slot.
inline uint64_t MakeFid(int version, int64_t slot, uint64_t signature) {
  const int bits = version == 1 ? kV1SlotBits : kV2SlotBits;
  if (slot < 0 || slot >= int64_t{1} << bits) {
    throw DataError(DataError::Code::kInvalidArgument,
                    "slot " + std::to_string(slot) + " is not in [0, " + std::to_string(1 << bits) +
                        "), which is what fids of version " + std::to_string(version) + " hold.");
  }
  return version == 1 ? static_cast<uint64_t>(slot) << kV1SignatureBits | V1Signature(signature)
                      : static_cast<uint64_t>(slot) << kV2SignatureBits | V2Signature(signature);
}

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_FID_H_
