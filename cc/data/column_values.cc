// SPDX-License-Identifier: Apache-2.0
#include "cc/data/column_values.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "cc/data/data_error.h"
#include "cc/data/fid.h"
#include "cc/data/qtz8.h"

namespace monolith {
namespace data {
namespace {

// Fields of an Instance's Feature.
enum InstanceFeature { kFid = 2, kFloat = 3, kInt64 = 4, kByteStrings = 5, kFidList = 6 };

[[noreturn]] void ThrowOtherKind(const ColumnSpec& column, const FeatureView& feature, const char* asked) {
  throw DataError(DataError::Code::kInvalidArgument, "column '" + column.name + "' holds " +
                                                         NameOf(static_cast<FeatureKind>(feature.kind)) +
                                                         ", but is asked for as " + asked + ".");
}

void RequireKind(const ColumnSpec& column, const FeatureView& feature, std::initializer_list<uint32_t> kinds,
                 const char* asked) {
  if (feature.kind == kNoKind || std::find(kinds.begin(), kinds.end(), feature.kind) != kinds.end()) return;
  ThrowOtherKind(column, feature, asked);
}

int64_t CountFixed64(std::string_view message, uint32_t field) {
  int64_t count = 0;
  ForEachFixed(message, field, kFixed64, [&](const char*, size_t n) { count += static_cast<int64_t>(n); });
  return count;
}

int64_t* CopyFids(std::string_view message, uint32_t field, bool from_v1, int64_t* out) {
  ForEachFixed(message, field, kFixed64, [&](const char* values, size_t n) {
    // Lists are short: a loop beats a call.
    for (size_t i = 0; i < n; ++i) {
      uint64_t fid;
      std::memcpy(&fid, values + 8 * i, 8);
      *out++ = static_cast<int64_t>(from_v1 ? V1ToV2(fid) : fid);
    }
  });
  return out;
}

}  // namespace

void CopyFloats(std::string_view values, int64_t n, float* out) {
  const size_t bytes = std::min<size_t>(values.size(), 4 * static_cast<size_t>(n));
  if (bytes > 0) std::memcpy(out, values.data(), bytes);
}

int64_t CountExampleFids(const ColumnSpec& column, const FeatureView& feature) {
  if (feature.kind == kFidV1List || feature.kind == kFidV2List) return CountFixed64(feature.payload(), 1);
  if (feature.kind != kFidV1Lists && feature.kind != kFidV2Lists) RequireKind(column, feature, {}, "fids");
  return 0;
}

void WriteExampleFids(const FeatureView& feature, int64_t* out) {
  if (feature.kind == kFidV1List || feature.kind == kFidV2List) {
    CopyFids(feature.payload(), 1, feature.kind == kFidV1List, out);
  }
}

void WriteExampleFloats(const ColumnSpec& column, const FeatureView& feature, float* out) {
  RequireKind(column, feature, {kFloatList, kDoubleList}, "float32");
  const auto width = static_cast<size_t>(column.width);
  size_t at = 0;
  const bool doubles = feature.kind == kDoubleList;
  ForEachFixed(feature.payload(), 1, doubles ? kFixed64 : kFixed32, [&](const char* values, size_t n) {
    n = std::min(n, width - at);
    for (size_t i = 0; i < n; ++i, ++at) {
      if (doubles) {
        double value;
        std::memcpy(&value, values + 8 * i, 8);
        out[at] = static_cast<float>(value);
      } else {
        std::memcpy(out + at, values + 4 * i, 4);
      }
    }
  });
  std::fill(out + at, out + width, column.origin == ColumnSpec::Origin::kLabel ? kInvalidLabel : 0.0f);
  if (at > 0 || width != 1) return;
  if (column.origin == ColumnSpec::Origin::kColumn) *out = std::numeric_limits<float>::min();
  if (column.origin == ColumnSpec::Origin::kWeight) *out = 1;
}

void WriteExampleInts(const ColumnSpec& column, const FeatureView& feature, int64_t* out) {
  RequireKind(column, feature, {kInt64List}, "int64");
  const auto width = static_cast<size_t>(column.width);
  size_t at = 0;
  ForEachVarint(feature.payload(), 1, [&](uint64_t value) {
    if (at < width) out[at++] = static_cast<int64_t>(value);
  });
  std::fill(out + at, out + width, 0);
}

void WriteExampleBytes(const ColumnSpec& column, const FeatureView& feature, const PutValue& put) {
  RequireKind(column, feature, {kBytesList}, "string");
  int64_t at = 0;
  ForEachBytes(feature.payload(), 1, [&](std::string_view value) {
    if (at < column.width) put(at++, value);
  });
}

int64_t CountInstanceFids(std::string_view feature) {
  int64_t count = CountFixed64(feature, kFid);
  ForEachBytes(feature, kFidList, [&](std::string_view list) { count += CountFixed64(list, 1); });
  return count;
}

void WriteInstanceFids(std::string_view feature, int64_t* out) {
  out = CopyFids(feature, kFid, false, out);
  ForEachBytes(feature, kFidList, [&](std::string_view list) { out = CopyFids(list, 1, false, out); });
}

void WriteInstanceFloats(const ColumnSpec& column, std::string_view feature, float* out) {
  const auto width = static_cast<size_t>(column.width);
  size_t count = 0;
  ForEachFixed(feature, kFloat, kFixed32, [&](const char* values, size_t n) {
    if (count < width) CopyFloats(std::string_view(values, 4 * n), static_cast<int64_t>(width - count), out + count);
    count += n;
  });
  if (count == width) return;
  std::fill(out, out + width, 0.0f);
  bool decoded = false;
  ForEachBytes(feature, kByteStrings, [&](std::string_view value) {
    if (!decoded && IsQtz8(value)) DecodeQtz8(column.name, value, column.width, out);
    decoded = true;
  });
}

void WriteInstanceInts(const ColumnSpec& column, std::string_view feature, int64_t* out) {
  const auto width = static_cast<size_t>(column.width);
  size_t count = 0;
  ForEachVarint(feature, kInt64, [&](uint64_t value) {
    if (count < width) out[count] = static_cast<int64_t>(value);
    ++count;
  });
  if (count != width) std::fill(out, out + width, 0);
}

void WriteInstanceBytes(const ColumnSpec& column, std::string_view feature, const PutValue& put) {
  int64_t count = 0;
  ForEachBytes(feature, kByteStrings, [&](std::string_view) { ++count; });
  if (count != column.width) return;
  int64_t at = 0;
  ForEachBytes(feature, kByteStrings, [&](std::string_view value) { put(at++, value); });
}

}  // namespace data
}  // namespace monolith
