// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/crc32c.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace monolith {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // bits reversed
constexpr int kWord = 8;

// table[k][b]: what byte b does to a checksum that k more bytes follow.
using Tables = std::array<std::array<uint32_t, 256>, kWord>;

Tables MakeTables() {
  Tables tables;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (int k = 1; k < kWord; ++k) {
    for (int byte = 0; byte < 256; ++byte) {
      const uint32_t crc = tables[k - 1][byte];
      tables[k][byte] = crc >> 8 ^ tables[0][crc & 0xFF];
    }
  }
  return tables;
}

#if defined(__x86_64__)

bool HasInstruction() {
  static const bool has = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") != 0;
  }();
  return has;
}

__attribute__((target("sse4.2"))) uint64_t AddWord(uint64_t crc, const char* at) {
  uint64_t word;
  std::memcpy(&word, at, kWord);
  return __builtin_ia32_crc32di(crc, word);
}

__attribute__((target("sse4.2"))) uint32_t Finish(uint64_t crc, std::string_view piece, size_t at) {
  for (; at + kWord <= piece.size(); at += kWord) crc = AddWord(crc, piece.data() + at);
  auto low = static_cast<uint32_t>(crc);
  for (; at < piece.size(); ++at) low = __builtin_ia32_crc32qi(low, static_cast<unsigned char>(piece[at]));
  return ~low;
}

__attribute__((target("sse4.2"))) void EachByInstruction(const std::string_view* pieces, size_t n, uint32_t* crcs) {
  constexpr size_t kTogether = 4;
  constexpr uint64_t kStart = 0xFFFFFFFF;
  size_t i = 0;
  for (; i + kTogether <= n; i += kTogether) {
    const std::string_view *a = pieces + i, *b = a + 1, *c = a + 2, *d = a + 3;
    const size_t shortest = std::min({a->size(), b->size(), c->size(), d->size()});
    uint64_t of_a = kStart, of_b = kStart, of_c = kStart, of_d = kStart;
    size_t at = 0;
    for (; at + kWord <= shortest; at += kWord) {
      of_a = AddWord(of_a, a->data() + at);
      of_b = AddWord(of_b, b->data() + at);
      of_c = AddWord(of_c, c->data() + at);
      of_d = AddWord(of_d, d->data() + at);
    }
    crcs[i] = Finish(of_a, *a, at);
    crcs[i + 1] = Finish(of_b, *b, at);
    crcs[i + 2] = Finish(of_c, *c, at);
    crcs[i + 3] = Finish(of_d, *d, at);
  }
  for (; i < n; ++i) crcs[i] = Finish(kStart, pieces[i], 0);
}

#endif

}  // namespace

uint32_t Crc32cByTables(std::string_view piece) {
  static const Tables tables = MakeTables();
  uint32_t crc = 0xFFFFFFFF;
  size_t at = 0;
  for (; at + kWord <= piece.size(); at += kWord) {
    uint32_t next = 0;
    for (int k = 0; k < kWord; ++k) {
      const auto byte = static_cast<unsigned char>(piece[at + k]);
      next ^= tables[kWord - 1 - k][k < 4 ? byte ^ (crc >> (8 * k) & 0xFF) : byte];
    }
    crc = next;
  }
  for (; at < piece.size(); ++at) crc = crc >> 8 ^ tables[0][(crc ^ static_cast<unsigned char>(piece[at])) & 0xFF];
  return ~crc;
}

void Crc32cEach(const std::string_view* pieces, size_t n, uint32_t* crcs) {
#if defined(__x86_64__)
  if (HasInstruction()) return EachByInstruction(pieces, n, crcs);
#endif
  for (size_t i = 0; i < n; ++i) crcs[i] = Crc32cByTables(pieces[i]);
}

}  // namespace monolith
