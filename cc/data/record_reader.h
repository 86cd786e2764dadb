// SPDX-License-Identifier: Apache-2.0
// Streams of records. A stream has no header and no checksum; all integers are u64, little endian:
//
//   if lagrangex_header:    u64: byte 0 is a message type, bytes 1 to 3 become bits 8 to 31 of the data source's key
//   else:
//     if kafka_dump_prefix: u64 a; if a is 0: one more u64, ignored; else a is the length of the sort id
//     if has_sort_id:       its length, unless a was that, and that many bytes, ignored
//     if kafka_dump:        u64, ignored
//   u64 n, then n bytes: one serialized message
#ifndef CC_DATA_RECORD_READER_H_
#define CC_DATA_RECORD_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/data/byte_source.h"

namespace monolith {
namespace data {

struct Framing {
  bool lagrangex_header = false;
  bool kafka_dump_prefix = false;
  bool has_sort_id = false;
  bool kafka_dump = false;
};

struct Record {
  std::string payload;
  uint32_t data_source_key = 0;  // 0 without lagrangex_header
  uint64_t offset = 0;           // where it begins in the decompressed stream, headers included
};

class RecordReader {
 public:
  static constexpr uint64_t kLargestRecord = (uint64_t{1} << 31) - 1;  // protobuf's own limit

  // A record longer than `most_bytes` is an error. With `allow_truncated` a stream may end inside a record, as a file does
  // that somebody is still writing; that record is dropped. `buffer_bytes` are read at a time, at least one.
  RecordReader(std::unique_ptr<ByteSource> source, const Framing& framing, uint64_t most_bytes = kLargestRecord,
               bool allow_truncated = false, size_t buffer_bytes = size_t{1} << 20);

  // Reads the next record; false at the end of the stream. Throws DataError (kDataLoss, kInvalidArgument), naming the
  // source and the offset; the stream cannot be read on after that.
  bool Next(Record* record);

  // Decompressed bytes read so far.
  uint64_t offset() const { return offset_; }
  // Passes over bytes, as far as there are any.
  void SkipBytes(uint64_t n);

 private:
  enum class Whole { kYes, kEnd, kCut };

  Whole ReadHeader(Record* record, uint64_t* size);
  Whole ReadWord(uint64_t* word);
  Whole ReadPayload(uint64_t size, std::string* payload);
  Whole Pass(uint64_t n);
  bool Fill();
  bool AtCut(const Record& record, uint64_t size) const;
  [[noreturn]] void ThrowTooLong(const Record& record, uint64_t size, const char* what) const;
  std::string FlagsInUse() const;

  const std::unique_ptr<ByteSource> source_;
  const Framing framing_;
  const uint64_t most_bytes_;
  const bool allow_truncated_;
  std::vector<char> buffer_;
  size_t at_ = 0, filled_ = 0;
  uint64_t offset_ = 0;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_RECORD_READER_H_
