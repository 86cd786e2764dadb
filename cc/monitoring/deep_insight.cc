// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/deep_insight.h"

#include "cc/hash_table/hashing.h"
#include "cc/monitoring/json_text.h"

namespace monolith {
namespace {

// Appends {"key": value, ...} of the fields that `values` has something of, behind `name`; nothing if there are none.
template <typename Has, typename Append>
void AddExtraFields(const char* name, const std::vector<DeepInsightField>& fields, Has has, Append append,
                    std::string* json) {
  bool is_first = true;
  for (const DeepInsightField& field : fields) {
    if (!has(field)) continue;
    json->append(is_first ? ", \"" : ", ");
    if (is_first) json->append(name).append("\": {");
    is_first = false;
    AppendJson(std::string_view(field.key), json);
    json->append(": ");
    append(field);
  }
  if (!is_first) json->push_back('}');
}

}  // namespace

bool IsSampledUser(int64_t uid, double sample_ratio) {
  constexpr uint64_t kParts = 1000000;
  constexpr uint64_t kOffset = 0x9E3779B97F4A7C15ULL;  // the hash of 0 is 0, and user 0 would be in at every ratio
  return static_cast<double>(Mix64(static_cast<uint64_t>(uid) + kOffset) % kParts) < sample_ratio * kParts;
}

DeepInsightFormat::DeepInsightFormat(std::string_view model_name, const std::vector<std::string>& targets,
                                     float sample_ratio)
    : head_("{\"model_name\": "), sample_ratio_(sample_ratio) {
  AppendJson(model_name, &head_);
  head_.append(", \"req_time\": ");
  for (const std::string& target : targets) {
    std::string& quoted = targets_.emplace_back();
    AppendJson(std::string_view(target), &quoted);
    quoted.append(": ");
  }
}

std::vector<std::string> DeepInsightFormat::Messages(const DeepInsightRows& rows, int64_t train_time) const {
  std::vector<std::string> messages(rows.num_rows);
  for (int64_t row = 0; row < rows.num_rows; ++row) {
    if (IsSampledUser(rows.uids[row], sample_ratio_)) messages[row] = Message(rows, row, train_time);
  }
  return messages;
}

std::string DeepInsightFormat::Message(const DeepInsightRows& rows, int64_t row, int64_t train_time) const {
  std::string json = head_;
  AppendJson(rows.req_times[row], &json);
  json.append(", \"uid\": ");
  AppendJson(rows.uids[row], &json);
  json.append(", \"train_time\": ");
  AppendJson(train_time, &json);
  AddTargets("predict", rows.preds, rows, row, &json);
  AddTargets("label", rows.labels, rows, row, &json);
  AddTargets("sample_rate", rows.sample_rates, rows, row, &json);
  json.append(", \"sample_ratio\": ");
  AppendJson(sample_ratio_, &json);
  AddExtraFields(
      "extra_float", rows.extra_fields, [](const DeepInsightField& field) { return field.floats != nullptr; },
      [&](const DeepInsightField& field) { AppendJson(field.floats[row], &json); }, &json);
  AddExtraFields(
      "extra_int", rows.extra_fields, [](const DeepInsightField& field) { return field.ints != nullptr; },
      [&](const DeepInsightField& field) { AppendJson(field.ints[row], &json); }, &json);
  AddExtraFields(
      "extra_str", rows.extra_fields, [](const DeepInsightField& field) { return !field.strings.empty(); },
      [&](const DeepInsightField& field) { AppendJson(field.strings[row], &json); }, &json);
  json.push_back('}');
  return json;
}

void DeepInsightFormat::AddTargets(const char* name, const float* values, const DeepInsightRows& rows, int64_t row,
                                   std::string* json) const {
  json->append(", \"").append(name).append("\": {");
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (i > 0) json->append(", ");
    json->append(targets_[i]);
    AppendJson(values[i * rows.num_rows + row], json);
  }
  json->push_back('}');
}

}  // namespace monolith
