// SPDX-License-Identifier: Apache-2.0
#include "cc/data/decompress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cc/data/data_error.h"

namespace monolith {
namespace data {
namespace {

using ::testing::HasSubstr;

// "training data " twenty times, by the reference programs.
std::string Text() {
  std::string text;
  for (int i = 0; i < 20; ++i) text += "training data ";
  return text;
}
const std::string kZlibText(
    "\x78\x9c\x2b\x29\x4a\xcc\xcc\xcb\xcc\x4b\x57\x48\x49\x2c\x49\x54\x28\x19\xe5\x41\x79\x00\x6f\x6b\x68\x39", 26);
const std::string kGzipText(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\x29\x4a\xcc\xcc\xcb\xcc\x4b\x57\x48\x49\x2c\x49\x54\x28\x19\xe5\x41"
    "\x79\x00\x9c\x77\x46\x75\x18\x01\x00\x00",
    38);
const std::string kZstdText(
    "\x28\xb5\x2f\xfd\x04\x68\xad\x00\x00\x70\x74\x72\x61\x69\x6e\x69\x6e\x67\x20\x64\x61\x74\x61\x20\x01\x00\x07\xa1"
    "\x4e\x25\x71\x2c\x6d\xec",
    34);

// Raw Snappy of literals of up to 60 bytes, whose length a single varint byte holds.
SnappyCodec Literals() {
  SnappyCodec codec;
  codec.uncompressed_size = [](std::string_view chunk, size_t* size) {
    if (chunk.empty()) return false;
    *size = static_cast<uint8_t>(chunk[0]);
    return true;
  };
  codec.uncompress = [](std::string_view chunk, char* bytes) {
    if (chunk.size() != static_cast<size_t>(chunk[0]) + 2) return false;
    std::copy(chunk.begin() + 2, chunk.end(), bytes);
    return true;
  };
  return codec;
}

std::string BigEndian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string Chunk(const std::string& text) {
  const std::string raw = std::string{static_cast<char>(text.size()), static_cast<char>((text.size() - 1) << 2)} + text;
  return BigEndian(static_cast<uint32_t>(raw.size())) + raw;
}

std::unique_ptr<ByteSource> Source(const std::string& bytes, Compression compression, size_t piece) {
  return Decompressed(std::make_unique<MemorySource>(bytes, "file.x", piece), compression, Literals());
}

std::string ReadAll(ByteSource* source, size_t n) {
  std::string all, part(n, '\0');
  while (const size_t got = source->Read(part.data(), n)) all.append(part, 0, got);
  return all;
}

std::string ErrorOf(const std::string& bytes, Compression compression) {
  try {
    ReadAll(Source(bytes, compression, 5).get(), 100);
  } catch (const DataError& error) {
    EXPECT_EQ(error.code(), DataError::Code::kDataLoss);
    return error.what();
  }
  return "";
}

struct Kind {
  const char* name;
  Compression compression;
  const std::string* text;
};

class StreamTest : public ::testing::TestWithParam<Kind> {};

TEST_P(StreamTest, ReadsStreamsOneAfterAnother) {
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{1000}}) {
    for (const size_t n : {size_t{1}, size_t{100}, size_t{5000}}) {
      auto source = Source(*GetParam().text + *GetParam().text, GetParam().compression, piece);
      EXPECT_EQ(ReadAll(source.get(), n), Text() + Text());
    }
  }
}

TEST_P(StreamTest, NothingIsAnEmptyStream) { EXPECT_EQ(ReadAll(Source("", GetParam().compression, 9).get(), 9), ""); }

TEST_P(StreamTest, EveryCutIsAnError) {
  for (size_t cut = 1; cut < GetParam().text->size(); ++cut) {
    const std::string error = ErrorOf(GetParam().text->substr(0, cut), GetParam().compression);
    EXPECT_THAT(error, HasSubstr("file.x: the compressed data breaks off")) << cut;
    EXPECT_THAT(error, HasSubstr("compression_type"));
  }
}

TEST_P(StreamTest, OtherBytesAreAnError) {
  EXPECT_THAT(ErrorOf("these bytes are not compressed", GetParam().compression), HasSubstr("file.x: "));
}

INSTANTIATE_TEST_SUITE_P(Kinds, StreamTest,
                         ::testing::Values(Kind{"zlib", Compression::kZlib, &kZlibText},
                                           Kind{"gzip", Compression::kGzip, &kGzipText},
                                           Kind{"zstd", Compression::kZstd, &kZstdText}),
                         [](const ::testing::TestParamInfo<Kind>& info) { return info.param.name; });

TEST(SnappySourceTest, BlocksOfChunks) {
  const std::string file = BigEndian(8) + Chunk("abcde") + Chunk("fgh") + BigEndian(0) + BigEndian(2) + Chunk("ij");
  for (const size_t piece : {size_t{1}, size_t{1000}}) {
    EXPECT_EQ(ReadAll(Source(file, Compression::kSnappy, piece).get(), 3), "abcdefghij");
  }
}

TEST(SnappySourceTest, DamageIsAnError) {
  const std::string file = BigEndian(8) + Chunk("abcde") + Chunk("fgh");
  for (size_t cut = 1; cut < file.size(); ++cut) {
    EXPECT_THAT(ErrorOf(file.substr(0, cut), Compression::kSnappy), HasSubstr("breaks off")) << cut;
  }
  EXPECT_THAT(ErrorOf(BigEndian(4) + Chunk("abcde"), Compression::kSnappy),
              HasSubstr("a chunk has an impossible length"));
  EXPECT_THAT(ErrorOf(BigEndian(9) + BigEndian(0x7fffffff), Compression::kSnappy),
              HasSubstr("claims 2147483647 bytes"));
  std::string longer = BigEndian(5) + Chunk("abcde");
  longer[8] = 4;
  EXPECT_THAT(ErrorOf(longer, Compression::kSnappy), HasSubstr("a chunk cannot be decoded"));
}

TEST(DecompressedTest, NumbersThatAreNoCompression) {
  EXPECT_EQ(ReadAll(Source("as it is", Compression::kUnset, 3).get(), 5), "as it is");
  EXPECT_EQ(ReadAll(Source("as it is", Compression::kNone, 3).get(), 5), "as it is");
  EXPECT_THROW(Source("", static_cast<Compression>(6), 3), DataError);
}

}  // namespace
}  // namespace data
}  // namespace monolith
