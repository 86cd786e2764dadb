// SPDX-License-Identifier: Apache-2.0
#include "cc/data/line_id_values.h"

#include <algorithm>
#include <cstring>

#include "cc/data/proto_reader.h"

namespace monolith {
namespace data {
namespace {

using Kind = LineIdField::Kind;

// One requested field while a LineId is read.
class FieldWriter {
 public:
  FieldWriter(const ColumnPlan& plan, int column, int64_t row, const ColumnOutput& output)
      : spec_(plan.columns()[column]), field_(*spec_.field), column_(column), row_(row), output_(output) {
    const int64_t begin = row * spec_.width, end = begin + spec_.width;
    if (output.ints != nullptr) std::fill(output.ints + begin, output.ints + end, 0);
    if (output.floats != nullptr) std::fill(output.floats + begin, output.floats + end, 0.0f);
    if (output.floats != nullptr) output.floats[begin] = field_.default_float;
  }

  bool Takes(uint32_t tag) const { return tag >> 3 == field_.number && HasWireType(field_, tag); }

  void Read(uint32_t tag, ProtoReader reader, const PutBytes& put_bytes) {
    if (field_.kind == Kind::kString) return put_bytes(column_, row_ * spec_.width, reader.Bytes());
    if (field_.kind == Kind::kFloat) {
      output_.floats[row_ * spec_.width] = reader.Fixed<float>();
    } else if (field_.kind == Kind::kFixed64) {
      PutInt(reader.Fixed<uint64_t>());
    } else if ((tag & 7) == kVarint) {
      PutInt(reader.Varint());
    } else {
      ProtoReader packed(reader.Bytes());
      while (!packed.Done()) PutInt(packed.Varint());
    }
  }

 private:
  void PutInt(uint64_t value) {
    if (!field_.repeated) count_ = 0;  // the last one stands
    if (count_ < spec_.width) output_.ints[row_ * spec_.width + count_++] = LineIdInt(field_, value);
  }

  const ColumnSpec& spec_;
  const LineIdField& field_;
  const int column_;
  const int64_t row_;
  const ColumnOutput& output_;
  int64_t count_ = 0;
};

}  // namespace

void WriteLineIdColumns(const ColumnPlan& plan, std::string_view line_id, int64_t row,
                        const std::vector<ColumnOutput>& outputs, const PutBytes& put_bytes) {
  std::vector<FieldWriter> writers;
  writers.reserve(plan.line_id_columns().size());
  for (const int column : plan.line_id_columns()) writers.emplace_back(plan, column, row, outputs[column]);
  try {
    ProtoReader reader(line_id);
    while (const uint32_t tag = reader.Tag()) {
      for (FieldWriter& writer : writers) {
        if (writer.Takes(tag)) writer.Read(tag, reader, put_bytes);  // a copy of the reader: many may ask for one field
      }
      reader.Skip(tag);
    }
  } catch (const Malformed&) {
    throw DataError(DataError::Code::kFailedPrecondition, "Failed to parse the LineId.");
  }
}

}  // namespace data
}  // namespace monolith
