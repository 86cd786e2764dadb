// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/table_summary.h"

#include <cstdint>
#include <string_view>

#include "cc/monitoring/json_text.h"

namespace monolith {
namespace {

constexpr uint64_t kBytesBesideAnEntry = 8;

template <typename Value>
void Append(std::string_view key, Value value, std::string* json) {
  if (json->back() != '{') json->append(", ");
  AppendJson(key, json);
  json->append(": ");
  AppendJson(value, json);
}

void AppendSlice(const SliceConfig& slice, bool serving, std::string* json) {
  json->push_back('{');
  Append("dim", int64_t{slice.dim}, json);
  if (!serving) Append("optimizer", std::string_view(slice.optimizer.name), json);
  Append("compressor", std::string_view(slice.compressor.name), json);
  json->push_back('}');
}

void AppendAccessor(const TableConfig& config, uint64_t entry_bytes, std::string* json) {
  const bool serving = config.entry_type == TableConfig::EntryType::kServing;
  json->append(", \"accessor\": {");
  Append("entry_type", std::string_view(serving ? "SERVING" : "TRAINING"), json);
  Append("entry_bytes", static_cast<int64_t>(entry_bytes), json);
  json->append(", \"slices\": [");
  for (size_t i = 0; i < config.slices.size(); ++i) {
    if (i > 0) json->append(", ");
    AppendSlice(config.slices[i], serving, json);
  }
  json->append("]}");
}

}  // namespace

std::string TableSummary(const EmbeddingTable& table) {
  const bool serving = table.config().entry_type == TableConfig::EntryType::kServing;
  const uint64_t size = table.size(), bytes = table.EntryBytes();
  const uint64_t plain_bytes = serving ? sizeof(float) * table.dim() : bytes;
  std::string json = "{";
  Append("name", std::string_view(table.config().name), &json);
  AppendAccessor(table.config(), bytes, &json);
  Append("size", static_cast<int64_t>(size), &json);
  Append("memory", static_cast<int64_t>(size * (bytes + kBytesBesideAnEntry)), &json);
  Append("memory_if_not_compressed", static_cast<int64_t>(size * (plain_bytes + kBytesBesideAnEntry)), &json);
  Append("load_factor", static_cast<float>(table.LoadFactor()), &json);
  Append("allocated", static_cast<int64_t>(table.MemoryBytes()), &json);
  return json + "}";
}

}  // namespace monolith
