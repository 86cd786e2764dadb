// SPDX-License-Identifier: Apache-2.0
// The values of one column in one row, by the rules for what is missing or has another length.
#ifndef CC_DATA_COLUMN_VALUES_H_
#define CC_DATA_COLUMN_VALUES_H_

#include <cstdint>
#include <functional>
#include <string_view>

#include "cc/data/column_plan.h"
#include "cc/data/feature_view.h"

namespace monolith {
namespace data {

constexpr float kInvalidLabel = -3.4028235e38f;  // the lowest float

using PutValue = std::function<void(int64_t index, std::string_view value)>;

// Columns of an Example (or of a row of an ExampleBatch). Numbers: the list is cut or filled up with zeros to the width; an
// empty float list of width 1 is the smallest normal float. A column of another kind throws.
int64_t CountExampleFids(const ColumnSpec& column, const FeatureView& feature);
void WriteExampleFids(const FeatureView& feature, int64_t* out);
void WriteExampleFloats(const ColumnSpec& column, const FeatureView& feature, float* out);
void WriteExampleInts(const ColumnSpec& column, const FeatureView& feature, int64_t* out);
void WriteExampleBytes(const ColumnSpec& column, const FeatureView& feature, const PutValue& put);

// Columns of an Instance; `feature` is a serialized Feature of it. A list of another length than the width counts as missing.
int64_t CountInstanceFids(std::string_view feature);
void WriteInstanceFids(std::string_view feature, int64_t* out);
void WriteInstanceFloats(const ColumnSpec& column, std::string_view feature, float* out);
void WriteInstanceInts(const ColumnSpec& column, std::string_view feature, int64_t* out);
void WriteInstanceBytes(const ColumnSpec& column, std::string_view feature, const PutValue& put);

// Copies up to `n` values of four bytes that lie back to back.
void CopyFloats(std::string_view values, int64_t n, float* out);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_COLUMN_VALUES_H_
