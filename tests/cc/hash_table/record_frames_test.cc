// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/record_frames.h"

#include <cstring>
#include <string>
#include <vector>

#include "cc/hash_table/compress_frames.h"
#include "cc/hash_table/crc32c.h"
#include "cc/hash_table/hashing.h"
#include "cc/hash_table/wire.h"
#include "gtest/gtest.h"

namespace monolith {
namespace {

std::string RandomBytes(size_t n, uint64_t seed) {
  std::string bytes(n, '\0');
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<char>(Mix64(seed * 1000003 + i));
  return bytes;
}

TEST(Crc32cTest, KnownChecksums) {
  // RFC 3720, appendix B.4.
  std::string rising(32, '\0');
  for (int i = 0; i < 32; ++i) rising[i] = static_cast<char>(i);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(Crc32c(rising), 0x46DD794Eu);
  EXPECT_EQ(Crc32c(std::string(rising.rbegin(), rising.rend())), 0x113FDB5Cu);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32cTest, PiecesOfAnySizesAtOnce) {
  const std::string bytes = RandomBytes(4000, 1);
  for (size_t n = 0; n < 12; ++n) {
    std::vector<std::string_view> pieces;
    for (size_t i = 0; i < n; ++i) pieces.push_back(std::string_view(bytes).substr(i * 3, (i * 37 + n * 11) % 97));
    std::vector<uint32_t> crcs(n + 1, 7);
    Crc32cEach(pieces.data(), n, crcs.data());
    for (size_t i = 0; i < n; ++i) EXPECT_EQ(crcs[i], Crc32cByTables(pieces[i])) << i << " of " << n;
    EXPECT_EQ(crcs[n], 7u);
  }
}

// The frames of payloads, in blocks of about `block_bytes`.
std::vector<std::string> Framed(const std::vector<std::string>& payloads, size_t block_bytes) {
  std::vector<std::string> blocks;
  FrameBuffer frames(block_bytes, [&blocks](std::string_view block) {
    blocks.emplace_back(block);
    return true;
  });
  for (const std::string& payload : payloads) {
    char* at = frames.Begin(payload.size() + 5);  // more than it takes
    EXPECT_NE(at, nullptr);
    std::memcpy(at, payload.data(), payload.size());
    frames.End(payload.size());
  }
  EXPECT_TRUE(frames.Flush());
  EXPECT_TRUE(frames.Flush());
  return blocks;
}

std::vector<std::string> Payloads(int n) {
  std::vector<std::string> payloads;
  for (int i = 0; i < n; ++i) payloads.push_back(RandomBytes(i * 7 % 60, i));
  return payloads;
}

TEST(RecordFramesTest, TheFrameOfARecord) {
  // As TensorFlow's TFRecordWriter writes b"abc".
  const std::string expected(
      "\x03\0\0\0\0\0\0\0\xB0\x99\x49\x0E"
      "abc"
      "\x6E\x57\xF1\x21",
      19);
  EXPECT_EQ(Framed({"abc"}, 100), std::vector<std::string>{expected});
}

TEST(RecordFramesTest, BlocksHoldWholeFramesAndAllOfThem) {
  const std::vector<std::string> payloads = Payloads(40);
  for (const size_t block_bytes : {1, 90, 500, 100000}) {
    std::vector<std::string> found;
    for (const std::string& block : Framed(payloads, block_bytes)) {
      std::vector<std::string_view> taken;
      const FrameScan scan = TakeFrames(block, 1000, &taken);
      EXPECT_EQ(scan.bytes, block.size());
      EXPECT_EQ(scan.damage, nullptr);
      EXPECT_TRUE(block.size() <= block_bytes || taken.size() == 1);
      found.insert(found.end(), taken.begin(), taken.end());
    }
    EXPECT_EQ(found, payloads);
  }
}

TEST(RecordFramesTest, ASinkThatTakesNoMoreIsNotAskedAgain) {
  int blocks = 0;
  FrameBuffer frames(40, [&blocks](std::string_view) { return ++blocks < 2; });
  int begun = 0;
  while (frames.Begin(10) != nullptr) {
    frames.End(10);
    ASSERT_LT(++begun, 10);
  }
  EXPECT_EQ(begun, 2);  // each frame is a block; the second is refused when the third should begin
  EXPECT_FALSE(frames.Flush());
  EXPECT_EQ(frames.Begin(1), nullptr);
  EXPECT_EQ(blocks, 2);
}

TEST(RecordFramesTest, FramesThatAreNotAllThereAreLeft) {
  const std::string block = Framed({"one", "two two"}, 100)[0];
  const size_t first = kFrameHeader + 3 + kFrameFooter;
  for (size_t size = 0; size <= block.size(); ++size) {
    std::vector<std::string_view> taken;
    const FrameScan scan = TakeFrames(std::string_view(block).substr(0, size), 1000, &taken);
    EXPECT_EQ(scan.damage, nullptr);
    EXPECT_EQ(taken.size(), size == block.size() ? 2u : size >= first ? 1u : 0u);
    EXPECT_EQ(scan.bytes, taken.size() == 2 ? block.size() : taken.size() == 1 ? first : 0);
  }
  std::vector<std::string_view> taken;
  EXPECT_EQ(TakeFrames(block, 1, &taken).bytes, first);
  EXPECT_EQ(taken, std::vector<std::string_view>{"one"});
}

TEST(RecordFramesTest, EveryBitOfAFrameCounts) {
  const std::string block = Framed({"one", "two two", "3"}, 100)[0];
  const size_t first = kFrameHeader + 3 + kFrameFooter, second = kFrameHeader + 7 + kFrameFooter;
  for (size_t bit = 8 * first; bit < 8 * (first + second); ++bit) {
    std::string damaged = block;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    std::vector<std::string_view> taken;
    const FrameScan scan = TakeFrames(damaged, 1000, &taken);
    EXPECT_NE(scan.damage, nullptr) << bit;
    EXPECT_EQ(scan.bytes, first) << bit;
    EXPECT_EQ(taken, std::vector<std::string_view>{"one"}) << bit;
  }
}

// Decodes a raw Snappy block, by the description of the format.
std::string Decompressed(std::string_view block) {
  wire::Reader reader(block);
  uint64_t size = 0;
  EXPECT_TRUE(reader.Varint(&size));
  std::string out;
  std::string_view rest = reader.Rest();
  const auto number = [&rest](size_t bytes) {
    size_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value |= static_cast<size_t>(static_cast<unsigned char>(rest.at(i))) << (8 * i);
    rest.remove_prefix(bytes);
    return value;
  };
  while (!rest.empty()) {
    const size_t tag = number(1), upper = tag >> 2;
    if (tag % 4 == 0) {
      const size_t length = 1 + (upper < 60 ? upper : number(upper - 59));
      EXPECT_LE(length, rest.size());
      out += rest.substr(0, length);
      rest.remove_prefix(length);
    } else {
      EXPECT_EQ(tag % 4, 2u) << "a copy with an offset of two bytes is the only one written";
      const size_t offset = number(2);
      EXPECT_TRUE(offset > 0 && offset <= out.size()) << offset;
      for (size_t i = 0; i <= upper; ++i) out += out.at(out.size() - offset);
    }
  }
  EXPECT_EQ(out.size(), size);
  return out;
}

// Checks that bytes come back, and returns how many they were in between.
size_t CompressedSize(const std::string& bytes) {
  std::string out(MostCompressedBytes(bytes.size()) + 1, '!');
  const size_t size = CompressFrames(bytes, out.data()) - out.data();
  EXPECT_LT(size, out.size());
  EXPECT_EQ(out.back(), '!');
  EXPECT_TRUE(Decompressed(std::string_view(out).substr(0, size)) == bytes);
  return size;
}

std::string Entries(int n, size_t size, size_t random) {
  std::vector<std::string> payloads;
  for (int i = 0; i < n; ++i) payloads.push_back(RandomBytes(random, i) + std::string(size - random, '\x15'));
  return Framed(payloads, 1 << 20)[0];
}

TEST(CompressFramesTest, AnyBytesComeBack) {
  for (size_t size = 0; size < 200; ++size) {
    CompressedSize(RandomBytes(size, size));
    CompressedSize(std::string(size, 'z'));
    CompressedSize(std::string(size / 2, 'z') + RandomBytes(size / 2, 3));
    CompressedSize(Entries(1, size + 1, size / 2).substr(size / 3));
  }
  for (const size_t size : {255, 256, 257, 65535, 65536, 65537, 262144}) {
    EXPECT_LE(CompressedSize(RandomBytes(size, 5)), size + 8);
    EXPECT_LE(CompressedSize(std::string(size, 'z')), size / 20 + 16);
  }
}

TEST(CompressFramesTest, FramesOfAnySizesComeBack) {
  for (const int n : {1, 2, 3, 50}) {
    CompressedSize(Framed(Payloads(n), 1 << 20)[0]);
    for (const size_t size : {1, 30, 64, 200, 1000, 66000}) CompressedSize(Entries(n / 2 + 1, size, size / 3));
  }
}

TEST(CompressFramesTest, WhatEqualsTheEntryBeforeTakesNoRoom) {
  const std::string frames = Entries(1000, 200, 100);
  EXPECT_LT(CompressedSize(frames), 1000 * (100 + 4 + 24));      // the random half, a checksum, and some tags
  EXPECT_LT(CompressedSize(Entries(3, 70000, 100)), 3 * 4000u);  // too far from the entry before, but floats repeat
}

TEST(CompressFramesTest, BlocksThatRepeatTooLittleAreOneLiteral) {
  // Lengths and tags repeat in all of these; in the last, half of each entry does.
  for (const size_t random : {195, 180, 100}) {
    const std::string frames = Entries(1000, 200, random);
    std::string out(MostCompressedBytes(frames.size()), '!');
    out.resize(CompressFrames(frames, out.data()) - out.data());
    EXPECT_TRUE(PlainBlock(out) == (random == 100 ? "" : frames)) << random;
    EXPECT_TRUE(Decompressed(out) == frames) << random;
  }
}

TEST(CompressFramesTest, APlainBlockIsOneLiteralOfAllBytes) {
  const auto literal = [](const std::string& bytes) {
    std::string block(MostCompressedBytes(bytes.size()), '!');
    block.resize(CompressFrames(bytes, block.data()) - block.data());
    return block;
  };
  for (const size_t size : {1, 59, 60, 61, 256, 257, 65536, 65537, 262144}) {
    const std::string bytes = RandomBytes(size, 9), block = literal(bytes);
    EXPECT_TRUE(PlainBlock(block) == bytes) << size;
    for (size_t cut = 0; cut < block.size(); cut += 1 + cut / 4) EXPECT_EQ(PlainBlock(block.substr(0, cut)), "") << cut;
    EXPECT_EQ(PlainBlock(block + "!"), "") << size;
  }
  EXPECT_EQ(PlainBlock(""), "");
  EXPECT_EQ(PlainBlock(std::string_view("\0", 1)), "");                  // nothing at all
  EXPECT_EQ(PlainBlock(std::string_view("\x02\x00z", 3)), "");           // shorter than it says
  EXPECT_EQ(PlainBlock(std::string_view("\x04\x00z\x0Az\1\0", 7)), "");  // a literal and a copy
  EXPECT_EQ(PlainBlock("\x01\xF0"), "");                                 // the length of the literal breaks off
  EXPECT_EQ(PlainBlock(std::string_view("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 11)), "");
}

}  // namespace
}  // namespace monolith
