// SPDX-License-Identifier: Apache-2.0
#include "cc/data/record_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cc/data/data_error.h"

namespace monolith {
namespace data {
namespace {

using ::testing::HasSubstr;

std::string Word(uint64_t value) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string Zeros(int n) { return std::string(n, '\0'); }

// As a writer frames a record: eight zeros for lagrangex, else sixteen for the prefix, an empty sort id, eight for a dump.
std::string Framed(const Framing& framing, const std::string& payload) {
  std::string out;
  if (framing.lagrangex_header) {
    out += Zeros(8);
  } else {
    out += Zeros((framing.kafka_dump_prefix ? 16 : 0) + (framing.has_sort_id ? 8 : 0) + (framing.kafka_dump ? 8 : 0));
  }
  return out + Word(payload.size()) + payload;
}

RecordReader NewReader(const std::string& stream, const Framing& framing, size_t piece = ~size_t{0},
                       bool allow_truncated = false) {
  return RecordReader(std::make_unique<MemorySource>(stream, "stream.pb", piece), framing, RecordReader::kLargestRecord,
                      allow_truncated);
}

std::vector<std::string> ReadAll(RecordReader&& reader) {
  std::vector<std::string> payloads;
  Record record;
  while (reader.Next(&record)) payloads.push_back(record.payload);
  return payloads;
}

std::string ErrorOf(RecordReader&& reader, DataError::Code code) {
  Record record;
  try {
    while (reader.Next(&record)) {
    }
  } catch (const DataError& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

Framing AnyFraming(int bits) { return Framing{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0}; }

TEST(RecordReaderTest, AllFlagsRoundTrip) {
  for (int bits = 0; bits < 16; ++bits) {
    std::string stream;
    std::vector<std::string> expected;
    for (int i = 0; i < 16; ++i) {
      expected.push_back(std::string(i, 'a'));
      stream += Framed(AnyFraming(bits), expected.back());
    }
    for (const size_t piece : {size_t{1}, size_t{7}, ~size_t{0}}) {
      EXPECT_EQ(ReadAll(NewReader(stream, AnyFraming(bits), piece)), expected) << "flags " << bits;
    }
  }
}

TEST(RecordReaderTest, Layouts) {
  const std::vector<std::string> ab = {"ab"};
  const std::string tail = Word(2) + "ab";
  EXPECT_EQ(ReadAll(NewReader(Zeros(8) + tail, {true, false, false, false})), ab);
  EXPECT_EQ(ReadAll(NewReader(Word(2) + "x1" + tail, {false, false, true, false})), ab);
  EXPECT_EQ(ReadAll(NewReader(Zeros(24) + tail, {false, true, true, false})), ab);
  EXPECT_EQ(ReadAll(NewReader(Word(2) + "x1" + tail, {false, true, true, false})), ab)
      << "the prefix carries the length";
}

TEST(RecordReaderTest, LagrangexHasTheKeyOfItsSource) {
  // Java's hashCode of "pc" is 3571.
  auto reader = NewReader(std::string("\x00\xf3\x0d\x00\x00\x00\x00\x00", 8) + Word(0), {true, false, false, false});
  Record record;
  ASSERT_TRUE(reader.Next(&record));
  EXPECT_EQ(record.data_source_key, 914176u);
  EXPECT_EQ(record.payload, "");
  auto bare = NewReader(Word(0), {});
  record.data_source_key = 77;
  ASSERT_TRUE(bare.Next(&record));
  EXPECT_EQ(record.data_source_key, 0u);
}

TEST(RecordReaderTest, EveryCutIsNamedWithItsOffset) {
  for (int bits = 0; bits < 16; ++bits) {
    const std::string one = Framed(AnyFraming(bits), "payload"), stream = one + one;
    for (size_t cut = one.size() + 1; cut < stream.size(); ++cut) {
      const std::string error = ErrorOf(NewReader(stream.substr(0, cut), AnyFraming(bits)), DataError::Code::kDataLoss);
      EXPECT_THAT(error, HasSubstr("stream.pb: truncated record at offset " + std::to_string(one.size()) +
                                   ": the stream ends at " + std::to_string(cut)));
      EXPECT_THAT(error, HasSubstr("allow_truncated=True"));
      EXPECT_EQ(ReadAll(NewReader(stream.substr(0, cut), AnyFraming(bits), 3, true)).size(), 1u);
    }
  }
}

TEST(RecordReaderTest, GarbageLengthsTakeNoMemory) {
  const std::string error = ErrorOf(NewReader(Word(~uint64_t{0}) + "abc", {}), DataError::Code::kDataLoss);
  EXPECT_THAT(error, HasSubstr("claims a length of 18446744073709551615 bytes"));
  EXPECT_THAT(error, HasSubstr("lagrangex_header=False, kafka_dump_prefix=False, has_sort_id=False, kafka_dump=False"));
  EXPECT_THAT(ErrorOf(NewReader(Word(0x7fffffff) + "abc", {}), DataError::Code::kDataLoss),
              HasSubstr("truncated record"));
  EXPECT_THAT(ErrorOf(NewReader(Word(1ull << 40) + "abc", {false, false, true, false}), DataError::Code::kDataLoss),
              HasSubstr("claims a sort id of 1099511627776 bytes"));
  EXPECT_THAT(ErrorOf(NewReader(Word(0xfefefefe), {}), DataError::Code::kInvalidArgument), HasSubstr("0xfefefefe"));
}

TEST(RecordReaderTest, RecordsHaveALimit) {
  RecordReader reader(std::make_unique<MemorySource>(Word(3) + "abc" + Word(4) + "abcd"), Framing(), 3);
  Record record;
  ASSERT_TRUE(reader.Next(&record));
  EXPECT_THAT(ErrorOf(std::move(reader), DataError::Code::kDataLoss), HasSubstr("4 bytes, more than 3"));
}

TEST(RecordReaderTest, GoesOnFromAnOffset) {
  const std::string stream = Framed({}, "first") + Framed({}, "second");
  auto reader = NewReader(stream, {});
  Record record;
  ASSERT_TRUE(reader.Next(&record));
  auto again = NewReader(stream, {});
  again.SkipBytes(reader.offset());
  ASSERT_TRUE(again.Next(&record));
  EXPECT_EQ(record.payload, "second");
  EXPECT_EQ(record.offset, 13u);
  EXPECT_FALSE(again.Next(&record));
}

}  // namespace
}  // namespace data
}  // namespace monolith
