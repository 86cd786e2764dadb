// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli, RFC 3720), by the processor's instruction where it has one.
#ifndef CC_HASH_TABLE_CRC32C_H_
#define CC_HASH_TABLE_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace monolith {

// crcs[i] becomes the checksum of pieces[i]. Several at once: the instruction takes three cycles, but begins every cycle,
// so pieces that take turns are done three times as fast.
void Crc32cEach(const std::string_view* pieces, size_t n, uint32_t* crcs);

inline uint32_t Crc32c(std::string_view piece) {
  uint32_t crc;
  Crc32cEach(&piece, 1, &crc);
  return crc;
}

// The same without the instruction, for tests.
uint32_t Crc32cByTables(std::string_view piece);

}  // namespace monolith

#endif  // CC_HASH_TABLE_CRC32C_H_
