// SPDX-License-Identifier: Apache-2.0
// Reads an input as: a byte of flags, a byte for the size of pieces, a byte for whether the rest is a stream or edits of a
// valid one. What a RecordReader makes of the stream must be what a plain walk over the whole of it makes.
#include <memory>
#include <optional>
#include <vector>

#include "cc/data/data_error.h"
#include "cc/data/record_reader.h"
#include "tests/cc/fuzz/drivers.h"
#include "tests/cc/fuzz/edits.h"

namespace monolith {
namespace testing {
namespace {

using data::Framing;
using data::Record;
using data::RecordReader;

constexpr uint64_t kMostBytes = 1000;

struct Walked {
  std::vector<std::string> payloads;
  std::vector<uint32_t> keys;
  bool damaged = false;
};

class Walk {
 public:
  Walk(const std::string& stream, const Framing& framing) : stream_(stream), framing_(framing) {}

  Walked Run() {
    Walked walked;
    while (at_ < stream_.size()) {
      uint32_t key = 0;
      const auto payload = One(&key);
      if (!payload) {
        walked.damaged = true;
        break;
      }
      walked.payloads.push_back(*payload);
      walked.keys.push_back(key);
    }
    return walked;
  }

 private:
  std::optional<uint64_t> Word() {
    if (stream_.size() - at_ < 8) return std::nullopt;
    uint64_t word = 0;
    for (int i = 7; i >= 0; --i) word = word << 8 | static_cast<uint8_t>(stream_[at_ + i]);
    at_ += 8;
    return word;
  }

  std::optional<std::string> Bytes(uint64_t n) {
    if (n > kMostBytes || n > stream_.size() - at_) return std::nullopt;
    at_ += n;
    return stream_.substr(at_ - n, n);
  }

  std::optional<std::string> One(uint32_t* key) {
    std::optional<uint64_t> length;
    if (framing_.lagrangex_header) {
      const auto header = Word();
      if (!header) return std::nullopt;
      *key = static_cast<uint32_t>(*header) / 256 * 256;
    } else {
      if (framing_.kafka_dump_prefix) {
        length = Word();
        if (!length || (*length == 0 && !Word())) return std::nullopt;
        if (*length == 0) length.reset();
      }
      if (framing_.has_sort_id) {
        if (!length) length = Word();
        if (!length || !Bytes(*length)) return std::nullopt;
      }
      if (framing_.kafka_dump && !Word()) return std::nullopt;
    }
    length = Word();
    return length ? Bytes(*length) : std::nullopt;
  }

  const std::string& stream_;
  const Framing framing_;
  size_t at_ = 0;
};

std::string Words(int n) { return std::string(8 * n, '\0'); }

std::string ValidStream(const Framing& framing, InputBytes* in) {
  std::string stream;
  for (int i = in->Below(6); i > 0; --i) {
    const int size = in->Below(40);
    if (framing.lagrangex_header) {
      stream += Words(1);
    } else {
      stream +=
          Words((framing.kafka_dump_prefix ? 2 : 0) + (framing.has_sort_id ? 1 : 0) + (framing.kafka_dump ? 1 : 0));
    }
    stream += static_cast<char>(size) + std::string(7, '\0') + std::string(size, static_cast<char>('a' + i));
  }
  return stream;
}

}  // namespace

int RunRecords(const uint8_t* data, size_t size) {
  InputBytes in(data, size);
  const int flags = in.Byte();
  const Framing framing{(flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, (flags & 8) != 0};
  const size_t piece = 1 + in.Byte();
  const std::string stream = in.Below(2) == 0 ? in.Rest() : Damaged(ValidStream(framing, &in), &in);
  const Walked expected = Walk(stream, framing).Run();
  for (const bool allow_truncated : {false, true}) {
    RecordReader reader(std::make_unique<data::MemorySource>(stream, "stream", piece), framing, kMostBytes,
                        allow_truncated);
    Walked read;
    Record record;
    try {
      while (reader.Next(&record)) {
        Require(read.payloads.empty() || record.offset > 0, "a later record has offset 0");
        read.payloads.push_back(record.payload);
        read.keys.push_back(record.data_source_key);
      }
      Require(!expected.damaged || allow_truncated, "a damaged stream was read to its end");
    } catch (const DataError& error) {
      Require(expected.damaged, "a good stream is refused");
      Require(std::string(error.what()).find("stream: ") == 0, "an error does not name the stream");
    }
    Require(read.payloads == expected.payloads, "other records");
    Require(read.keys == expected.keys, "other keys of sources");
  }
  return 0;
}

}  // namespace testing
}  // namespace monolith
