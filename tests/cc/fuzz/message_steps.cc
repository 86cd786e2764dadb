// SPDX-License-Identifier: Apache-2.0
#include "tests/cc/fuzz/message_steps.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

#include "cc/data/column_values.h"
#include "cc/data/comparison.h"
#include "cc/data/data_error.h"
#include "cc/data/fid_filter.h"
#include "cc/data/head_labels.h"
#include "cc/data/label_filter.h"
#include "cc/data/label_tasks.h"
#include "cc/data/label_values.h"
#include "cc/data/reweight.h"
#include "cc/data/sampling.h"
#include "cc/data/switch_slots.h"
#include "cc/data/tf_example.h"
#include "cc/data/value_filter.h"
#include "tests/cc/data/build_messages.h"
#include "tests/cc/fuzz/input_bytes.h"
#include "tests/cc/fuzz/message_oracle.h"

namespace monolith {
namespace testing {
namespace {

using data::MessageType;

class Half : public data::UniformSource {
 public:
  double Next() override { return 0.5; }
};

OracleRow Decode(MessageType type, const std::string& record) {
  const auto row = type == MessageType::kInstance ? DecodeInstance(record) : DecodeExample(record);
  Require(row.has_value(), "a changed record is none");
  return *row;
}

// The bits, so that NaN equals itself.
bool SameFloats(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), 4 * a.size()) == 0);
}

bool SameFeature(const OracleFeature& a, const OracleFeature& b) {
  return a.kind == b.kind && a.fids == b.fids && a.ints == b.ints && a.strings == b.strings &&
         SameFloats(a.floats, b.floats) && a.doubles.size() == b.doubles.size();
}

void RequireSameColumns(const OracleRow& before, const OracleRow& after) {
  Require(before.v1_fids == after.v1_fids && before.columns.size() == after.columns.size(), "a change loses columns");
  for (const auto& [name, feature] : before.columns) {
    const auto it = after.columns.find(name);
    Require(it != after.columns.end() && SameFeature(it->second, feature), "a change alters a column");
  }
}

// The changed record; the record itself if it stays.
OracleRow Changed(MessageType type, const data::RecordChange& change, const std::string& record) {
  Half half;
  std::string changed;
  // A copy of its own size on the heap: a byte beyond it is a finding.
  if (!change.Apply(std::string(record), &half, &changed)) return Decode(type, record);
  Require(data::IsMessage(type, changed), "a changed record is not valid");
  const OracleRow before = Decode(type, record), after = Decode(type, changed);
  RequireSameColumns(before, after);
  return after;
}

void CheckFilters(MessageType type, const std::string& record, const OracleRow& row) {
  Half half;
  std::set<uint64_t> fids(row.v1_fids.begin(), row.v1_fids.end());
  if (type == MessageType::kExample) {
    std::string all;
    for (const auto& [name, feature] : row.columns) {
      if (feature.kind <= 2) fids.insert(feature.fids.begin(), feature.fids.end());
    }
  }
  for (const uint64_t fid : fids) {
    data::FidFilterConfig select, filter;
    select.select_fids = {fid};
    filter.filter_fids = {fid};
    Require(data::NewFidFilter(type, select)->Keep(record, &half), "a fid is not found");
    Require(!data::NewFidFilter(type, filter)->Keep(record, &half), "a fid is not filtered");
  }
  const auto& actions = row.line_id.actions;
  const auto has = data::LineIdTest("actions", "any", {{}, {1, 2}, {}}, true);
  const bool expected =
      actions.empty() || std::any_of(actions.begin(), actions.end(), [](int a) { return a == 1 || a == 2; });
  Require(data::NewValueFilter(type, has)->Keep(record, &half) == expected, "actions compare otherwise");
  const auto uid = data::LineIdTest("uid", "eq", {{}, {static_cast<int64_t>(row.line_id.uid)}, {}}, false);
  Require(data::NewValueFilter(type, uid)->Keep(record, &half), "the uid is another one");
  const bool passes = !row.labels.empty() && row.labels[0] > 0;
  Require(data::NewLabelFilter(type, {0}, true)->Keep(record, &half) == passes, "a label passes otherwise");
  data::NewSpecialStrategy(type, {{1, 2}, "1:0.3", true})->Keep(record, &half);
}

void CheckLabels(MessageType type, const std::string& record, const OracleRow& row) {
  std::vector<float> bounded = row.labels;
  if (!bounded.empty()) bounded[0] = std::min(bounded[0], 0.5f);
  const auto bound = data::NewLabelUpperBound(type, {0.5f});
  Require(SameFloats(Changed(type, *bound, record).labels, bounded), "labels are bounded otherwise");
  std::vector<float> scattered(2, data::kInvalidLabel);
  if (row.line_id.chnid == 1 && !row.labels.empty()) scattered[1] = row.labels[0];
  const auto scatter = data::NewScatterLabel(type, "1:1,7:0");
  Require(SameFloats(Changed(type, *scatter, record).labels, scattered), "labels are scattered otherwise");
  const OracleRow labelled = Changed(type, *data::NewAddLabel(type, data::ReadLabelTasks("1:2:0.6"), 3, 0.25f), record);
  Require(labelled.labels.size() == row.labels.size() + 1 && labelled.line_id.sample_rate == 0.25f &&
              labelled.line_id.actions == row.line_id.actions && labelled.line_id.uid == row.line_id.uid,
          "a label is added otherwise");
  const data::LineIdTest any("uid", "ge", {{}, {0}, {}}, false);
  std::vector<int32_t> actions = row.line_id.actions;
  actions.push_back(-3);
  Require(Changed(type, *data::NewAddAction(type, any, -3), record).line_id.actions == actions,
          "another action is added");
}

void CheckCopies(MessageType type, const std::string& record) {
  Half half;
  data::ReweightConfig config;
  config.actions = {1, 2, 3};
  config.weights = {2, 3, 0};
  config.labels = {1, -1, 0};
  config.action_priority = {2, 1};
  for (const auto& copies : data::NewReweight(type, config)->Run(record, &half)) {
    Require(copies.count > 0 && (!copies.made || data::IsMessage(type, *copies.made)), "copies are not valid");
  }
}

void CheckSlots(MessageType type, const std::string& record) {
  Half half;
  std::string changed;
  try {
    const auto change = data::NewSwitchSlots(type, {{"a", true, 5}, {"b", false, 2000}}, "share");
    if (!change->Apply(std::string(record), &half, &changed)) return;
  } catch (const DataError& error) {
    Require(error.code() == DataError::Code::kInvalidArgument, std::string("another refusal: ") + error.what());
    return;
  }
  Require(data::IsMessage(type, changed), "a record with other slots is not valid");
  if (type != MessageType::kExample) return;
  const OracleRow before = Decode(type, record), after = Decode(type, changed);
  const auto a = after.columns.find("a"), was = before.columns.find("a");
  Require((a == after.columns.end()) == (was == before.columns.end()), "a column is lost");
  if (a == after.columns.end() || a->second.kind == 0) return;
  Require(a->second.kind == was->second.kind && a->second.fids.size() == was->second.fids.size(), "fids are lost");
  for (const uint64_t fid : a->second.fids) Require(fid >> (a->second.kind == 1 ? 54 : 48) == 5, "another slot");
}

}  // namespace

void CheckSteps(MessageType type, const std::string& record) {
  if (type != MessageType::kInstance) CheckSlots(type, record);
  if (type == MessageType::kExampleBatch) return;
  const OracleRow row = Decode(type, record);
  CheckFilters(type, record, row);
  CheckLabels(type, record, row);
  CheckCopies(type, record);
}

void CheckReaders(const std::string& bytes) {
  data::TfExampleConfig config;
  config.sparse_names = {"a"};
  config.sparse_slots = {3};
  config.dense_names = {"b", "f"};
  config.label = "label";
  static const auto* const reader = new data::TfExampleReader(config);
  try {
    std::string example;
    reader->Convert(std::string(bytes), &example);
    Require(data::IsMessage(MessageType::kExample, example), "a tf.train.Example makes no Example");
  } catch (const DataError&) {
  }
  for (const auto kind : {data::ValueKind::kInt, data::ValueKind::kFloat, data::ValueKind::kText}) {
    try {
      data::ReadFilterValues(std::string(bytes), kind);
    } catch (const DataError&) {
    }
  }
}

}  // namespace testing
}  // namespace monolith
