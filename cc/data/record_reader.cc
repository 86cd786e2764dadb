// SPDX-License-Identifier: Apache-2.0
#include "cc/data/record_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cc/data/data_error.h"

namespace monolith {
namespace data {
namespace {

// Written by a broken producer in the place of a length.
constexpr uint64_t kPoisonedSize = 0xfefefefe;

}  // namespace

RecordReader::RecordReader(std::unique_ptr<ByteSource> source, const Framing& framing, uint64_t most_bytes,
                           bool allow_truncated, size_t buffer_bytes)
    : source_(std::move(source)),
      framing_(framing),
      most_bytes_(std::min(most_bytes, kLargestRecord)),
      allow_truncated_(allow_truncated),
      buffer_(buffer_bytes) {}

bool RecordReader::Next(Record* record) {
  record->offset = offset_;
  record->data_source_key = 0;
  if (at_ == filled_ && !Fill()) return false;
  uint64_t size = 0;
  if (ReadHeader(record, &size) != Whole::kYes) return AtCut(*record, 0);
  if (size == kPoisonedSize) {
    throw DataError(DataError::Code::kInvalidArgument,
                    source_->name() + ": the record at offset " + std::to_string(record->offset) +
                        " has the length 0xfefefefe, which marks a broken stream; " + FlagsInUse());
  }
  if (size > most_bytes_) ThrowTooLong(*record, size, "a length");
  if (ReadPayload(size, &record->payload) != Whole::kYes) return AtCut(*record, size);
  return true;
}

void RecordReader::SkipBytes(uint64_t n) { Pass(n); }

RecordReader::Whole RecordReader::ReadHeader(Record* record, uint64_t* size) {
  uint64_t word = 0;
  if (framing_.lagrangex_header) {
    if (ReadWord(&word) != Whole::kYes) return Whole::kCut;
    record->data_source_key = (static_cast<uint32_t>(word) >> 8) << 8;
    return ReadWord(size);
  }
  uint64_t sort_id = 0;
  if (framing_.kafka_dump_prefix) {
    if (ReadWord(&sort_id) != Whole::kYes) return Whole::kCut;
    if (sort_id == 0 && ReadWord(&word) != Whole::kYes) return Whole::kCut;
  }
  if (framing_.has_sort_id) {
    if (sort_id == 0 && ReadWord(&sort_id) != Whole::kYes) return Whole::kCut;
    if (sort_id > most_bytes_) ThrowTooLong(*record, sort_id, "a sort id");
    if (Pass(sort_id) != Whole::kYes) return Whole::kCut;
  }
  if (framing_.kafka_dump && ReadWord(&word) != Whole::kYes) return Whole::kCut;
  return ReadWord(size);
}

RecordReader::Whole RecordReader::ReadWord(uint64_t* word) {
  unsigned char bytes[8];
  for (unsigned char& byte : bytes) {
    if (at_ == filled_ && !Fill()) return Whole::kCut;
    byte = static_cast<unsigned char>(buffer_[at_++]);
    ++offset_;
  }
  *word = 0;
  for (int i = 0; i < 8; ++i) *word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return Whole::kYes;
}

// Takes memory as bytes arrive, so that a garbage length costs none.
RecordReader::Whole RecordReader::ReadPayload(uint64_t size, std::string* payload) {
  payload->clear();
  while (payload->size() < size) {
    if (at_ == filled_ && !Fill()) return Whole::kCut;
    const size_t part = std::min<uint64_t>(size - payload->size(), filled_ - at_);
    payload->append(buffer_.data() + at_, part);
    at_ += part;
    offset_ += part;
  }
  return Whole::kYes;
}

RecordReader::Whole RecordReader::Pass(uint64_t n) {
  while (n > 0) {
    if (at_ == filled_ && !Fill()) return Whole::kCut;
    const size_t part = std::min<uint64_t>(n, filled_ - at_);
    at_ += part;
    offset_ += part;
    n -= part;
  }
  return Whole::kYes;
}

bool RecordReader::Fill() {
  at_ = 0;
  filled_ = 0;
  filled_ = source_->Read(buffer_.data(), buffer_.size());
  return filled_ > 0;
}

bool RecordReader::AtCut(const Record& record, uint64_t size) const {
  if (allow_truncated_) return false;
  const std::string promise =
      size == 0 ? "inside its header" : "before the " + std::to_string(size) + " bytes of its message";
  throw DataError(DataError::Code::kDataLoss,
                  source_->name() + ": truncated record at offset " + std::to_string(record.offset) +
                      ": the stream ends at " + std::to_string(offset_) + ", " + promise +
                      ". If the file is still being written, pass " + "allow_truncated=True; else " + FlagsInUse());
}

void RecordReader::ThrowTooLong(const Record& record, uint64_t size, const char* what) const {
  throw DataError(DataError::Code::kDataLoss, source_->name() + ": the record at offset " +
                                                  std::to_string(record.offset) + " claims " + what + " of " +
                                                  std::to_string(size) + " bytes, more than " +
                                                  std::to_string(most_bytes_) + "; " + FlagsInUse());
}

std::string RecordReader::FlagsInUse() const {
  const auto flag = [](const char* name, bool value) { return std::string(name) + "=" + (value ? "True" : "False"); };
  return "check that the stream has the headers it is read with: " +
         flag("lagrangex_header", framing_.lagrangex_header) + ", " +
         flag("kafka_dump_prefix", framing_.kafka_dump_prefix) + ", " + flag("has_sort_id", framing_.has_sort_id) +
         ", " + flag("kafka_dump", framing_.kafka_dump) + ".";
}

}  // namespace data
}  // namespace monolith
