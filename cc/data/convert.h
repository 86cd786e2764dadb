// SPDX-License-Identifier: Apache-2.0
// Turns serialized messages of one type into serialized messages of another, without building protobuf objects.
//
// Three columns are no columns but fields: __LINE_ID__ (a serialized LineId), __LABEL__ and instance_weight. Reading an
// Example copies them into its fields line_id, label (appended) and instance_weight and keeps the columns; a row of an
// ExampleBatch has the fields instead of them.
#ifndef CC_DATA_CONVERT_H_
#define CC_DATA_CONVERT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cc/data/feature_view.h"
#include "cc/data/message_check.h"

namespace monolith {
namespace data {

constexpr std::string_view kLineIdColumn = "__LINE_ID__";
constexpr std::string_view kLabelColumn = "__LABEL__";
constexpr std::string_view kWeightColumn = "instance_weight";

// Numbers as in Python's FeaturePruningType.
enum class Pruning { kAsIs = 0, kFeatures = 1, kRawFeatures = 2 };

// Whether reading changes an Example: whether it has columns to drop, or special ones. Most have none.
bool ChangesOnReading(std::string_view bytes, Pruning pruning);

// An Example as it is read: special columns copied into fields, raw (or ordinary) columns dropped. The bytes must be an
// Example (CheckMessage).
void ReadExample(std::string_view bytes, Pruning pruning, std::string* example);

// Throws DataError (kInvalidArgument) where an ExampleBatch of so many bytes cannot have that batch_size. Nearly every row
// takes bytes, so a damaged size cannot make anybody reserve memory for it.
void CheckBatchSize(int64_t batch_size, size_t bytes);

// Appends the field data_source_key, which takes the place of an earlier one.
void SetDataSourceKey(MessageType type, uint32_t key, std::string* message);

// An Instance's Example. Columns, numbered from 0: `value`; then fc_slot_<n> for every slot of its v1 fids, slots
// ascending; then its named features, each with its first kind that is not empty.
void InstanceToExample(std::string_view bytes, std::string* example);

// The Instance of an Example that was read. fid_v1_list columns go into `fid`; kinds that an Instance has no place for
// leave a feature with a name only.
void ExampleToInstance(std::string_view bytes, std::string* instance);

// The rows of an ExampleBatch as Examples.
class BatchRows {
 public:
  BatchRows() = default;
  // Throws DataError where a column has neither batch_size features nor, if shared, one. Keeps views of `bytes`.
  BatchRows(std::string_view bytes, Pruning pruning);
  int64_t num_rows() const { return num_rows_; }
  void Row(int64_t row, std::string* example) const;

 private:
  struct Column {
    std::string head;  // the name as a field
    std::string_view name;
    int32_t id = 0;
    bool shared = false;
    bool raw = false;
    std::vector<std::string_view> features;
  };

  void AddColumn(std::string_view bytes, bool raw);
  void CheckColumn(const Column& column) const;

  std::vector<Column> columns_;
  int64_t num_rows_ = 0;
  uint32_t data_source_key_ = 0;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_CONVERT_H_
