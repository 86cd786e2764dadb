// SPDX-License-Identifier: Apache-2.0
// The elements of one file of records, in the type that is asked for. What PBDataset iterates.
#ifndef CC_KERNELS_RECORD_STREAM_H_
#define CC_KERNELS_RECORD_STREAM_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "cc/data/convert.h"
#include "cc/data/record_reader.h"
#include "cc/kernels/record_file_source.h"

namespace monolith {

struct RecordStreamOptions {
  std::string file_name;  // empty: stdin
  data::Compression compression = data::Compression::kUnset;
  data::Framing framing;
  uint64_t most_bytes = data::RecordReader::kLargestRecord;
  data::MessageType input = data::MessageType::kInstance;
  data::MessageType output = data::MessageType::kInstance;
  data::Pruning pruning = data::Pruning::kRawFeatures;
  bool skip_damaged = false;
  bool allow_truncated = false;
};

// InvalidArgument where the input cannot become the output.
absl::Status CheckConversion(data::MessageType input, data::MessageType output);

// Damaged records that streams of this process have passed over.
int64_t NumDamagedRecords();

class RecordStream {
 public:
  explicit RecordStream(RecordStreamOptions options) : options_(std::move(options)) {}

  // Reads the next element's bytes; *end is true if there is none.
  absl::Status Next(::tensorflow::Env* env, std::string* element, bool* end);

  // Where the next record begins; rows that are left of a batch are not read again.
  uint64_t offset() const { return reader_ == nullptr ? start_ : reader_->offset(); }
  // Begins anew at an offset of the decompressed stream.
  void StartAt(uint64_t offset);

 private:
  absl::Status Open(::tensorflow::Env* env);
  // Sets *made to whether the element is there: a batch gives rows later, a record may be passed over.
  absl::Status ReadRecord(std::string* element, bool* made, bool* end);
  absl::Status ReadRow(std::string* element, bool* made);
  absl::Status Damaged(const absl::Status& status);

  const RecordStreamOptions options_;
  std::unique_ptr<data::RecordReader> reader_;
  uint64_t start_ = 0;
  bool done_ = false;
  data::Record record_;
  data::BatchRows rows_;  // views of record_.payload
  int64_t next_row_ = 0;
  int64_t num_damaged_ = 0;
};

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_STREAM_H_
