// SPDX-License-Identifier: Apache-2.0
// Reads an input as: a byte for the type of message, a byte for how it comes about, then the message itself or what makes
// one and edits it. Columns of it must be those that the oracle's objects have, conversions must keep them, and filters and
// changes of records agree with the oracle.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "cc/data/column_values.h"
#include "cc/data/convert.h"
#include "cc/data/data_error.h"
#include "tests/cc/data/build_messages.h"
#include "tests/cc/data/parsed.h"
#include "tests/cc/fuzz/drivers.h"
#include "tests/cc/fuzz/edits.h"
#include "tests/cc/fuzz/message_oracle.h"
#include "tests/cc/fuzz/message_steps.h"

namespace monolith {
namespace testing {
namespace {

using data::ColumnPlan;
using data::MessageType;
using data::ValueType;

constexpr int kWidth = 2;

// Indices in the plan.
enum Columns {
  kA,
  kB,
  kFloat,
  kInt,
  kString,
  kLabel,
  kWeight,
  kUid,
  kActions,
  kRate,
  kDevice,
  kDraw,
  kChannel,
  kSlot1,
  kSlot2
};

ColumnPlan NewPlan(MessageType type) {
  std::vector<data::ColumnSpec> columns = {data::FidColumn("a"),
                                           data::FidColumn("b"),
                                           data::DenseColumn("f", ValueType::kFloat, kWidth),
                                           data::DenseColumn("i", ValueType::kInt64, kWidth),
                                           data::DenseColumn("s", ValueType::kBytes, 1),
                                           data::DenseColumn("label", ValueType::kFloat, kWidth),
                                           data::DenseColumn("instance_weight", ValueType::kFloat, 1),
                                           data::LineIdColumn("uid", ValueType::kInt64, 1),
                                           data::LineIdColumn("actions", ValueType::kInt64, 3),
                                           data::LineIdColumn("sample_rate", ValueType::kFloat, 1),
                                           data::LineIdColumn("device_type", ValueType::kBytes, 1),
                                           data::LineIdColumn("is_draw", ValueType::kInt64, 1),
                                           data::LineIdColumn("chnid", ValueType::kInt64, 1)};
  if (type == MessageType::kInstance) {
    columns.push_back(data::V1SlotColumn("slot_1", 1));
    columns.push_back(data::V1SlotColumn("slot_2", 2));
  }
  return ColumnPlan(type, columns);
}

// Makes messages of what an input says.
class Generator {
 public:
  explicit Generator(InputBytes* in) : in_(*in) {}

  std::string Message(MessageType type) {
    std::string message;
    for (int i = in_.Below(8); i > 0; --i) {
      if (type == MessageType::kInstance) message += InstanceField();
      if (type == MessageType::kExample) message += ExampleField();
      if (type == MessageType::kExampleBatch) message += Field(1, NamedList());
    }
    if (type == MessageType::kExampleBatch) message += VarintField(3, in_.Below(4));
    return message;
  }

 private:
  std::string Name() {
    static const char* const names[] = {"a",         "b",           "f", "i", "s", "label", "instance_weight",
                                        "__LABEL__", "__LINE_ID__", "z"};
    return names[in_.Below(10)];
  }
  std::vector<uint64_t> Words() {
    std::vector<uint64_t> words(in_.Below(4));
    for (auto& word : words) word = uint64_t{in_.Byte()} * 0x0101010101010101u;
    return words;
  }
  std::vector<float> Floats() {
    std::vector<float> floats(in_.Below(4));
    for (auto& value : floats) value = (in_.Byte() - 100) / 8.0f;
    return floats;
  }
  // Field `number` with values of a kind of Feature.
  std::string Values(int kind, uint32_t number) {
    if (kind == 1 || kind == 2 || kind == 4) {
      return in_.Below(3) == 0 ? Fixed64Field(number, in_.Byte()) : Packed(number, Words());
    }
    if (kind == 3) return in_.Below(3) == 0 ? FloatField(number, in_.Byte()) : Packed(number, Floats());
    if (kind == 5) return in_.Below(3) == 0 ? VarintField(number, in_.Byte()) : PackedVarints(number, Words());
    return Field(number, std::string(in_.Below(5), static_cast<char>(in_.Byte())));
  }
  std::string Feature() {
    std::string feature;
    for (int i = 1 + in_.Below(2); i > 0; --i) {
      const int kind = 1 + in_.Below(16);
      if (kind >= 12 && kind <= 15) {
        feature += kind == 12 ? VarintField(12, 3) : kind == 13 ? FloatField(13, 3) : Field(15, "x");
        continue;
      }
      static const int inner[] = {2, 3, 4, 5, 6, 0, 0, 0, 0, 1};
      std::string list;
      for (int j = in_.Below(3); j > 0; --j) list += kind <= 6 ? Values(kind, 1) : Field(1, Values(inner[kind - 7], 1));
      feature += Field(kind, list);
    }
    return feature;
  }
  std::string LineId() {
    std::string line_id;
    for (int i = in_.Below(5); i > 0; --i) {
      switch (in_.Below(6)) {
        case 0:
          line_id += Fixed64Field(2, in_.Byte());
          break;
        case 1:
          line_id += Values(5, 6);
          break;
        case 2:
          line_id += FloatField(27, in_.Byte());
          break;
        case 3:
          line_id += Field(41, "phone");
          break;
        case 4:
          line_id += VarintField(87, in_.Byte());
          break;
        default:
          line_id += Values(5, 39);
      }
    }
    return line_id;
  }
  std::string SomeFeature(const std::string& name) {
    return name == "__LINE_ID__" && in_.Below(4) != 0 ? BytesFeature(LineId()) : Feature();
  }
  std::string ExampleField() {
    switch (in_.Below(6)) {
      case 0:
        return Field(100, LineId());
      case 1:
        return in_.Below(2) == 0 ? Packed(101, Floats()) : FloatField(101, in_.Byte());
      case 2:
        return FloatField(102, in_.Byte() - 20);
      default: {
        const std::string name = Name();
        return Column(name, SomeFeature(name));
      }
    }
  }
  std::string InstanceField() {
    switch (in_.Below(6)) {
      case 0:
        return Field(5, LineId());
      case 1:
        return in_.Below(2) == 0 ? Packed(3, Floats()) : FloatField(3, in_.Byte());
      case 2:
        return FloatField(4, in_.Byte());
      case 3: {
        Fids fids;
        for (int i = in_.Below(5); i > 0; --i) fids.push_back(V1(in_.Below(4), in_.Byte()));
        return Packed(1, fids);
      }
      default: {
        static const int kinds[] = {2, 3, 5, 6};
        std::string feature = Field(1, Name());
        for (int i = in_.Below(3); i > 0; --i) {
          const int kind = in_.Below(4);
          feature += in_.Below(4) == 0 ? Field(6 + kind, Values(kinds[kind], 1)) : Values(kinds[kind], 2 + kind);
        }
        return Field(9, feature);
      }
    }
  }
  std::string NamedList() {
    const std::string name = Name();
    std::string list = Field(1, name);
    for (int i = in_.Below(4); i > 0; --i) list += Field(2, SomeFeature(name));
    if (in_.Below(3) == 0) list += VarintField(3, 1);
    return list;
  }

  InputBytes& in_;
};

// What a row should parse to; `refused` says why it must not.
struct Expected {
  std::vector<int64_t> a, b, slot1, slot2;
  std::vector<float> floats{0, 0}, label{0, 0}, weight{0}, rate{1};
  std::vector<int64_t> ints{0, 0}, uid{0}, actions{0, 0, 0}, draw{0}, channel{0};
  std::string string, device;
};

class Refusal : public std::exception {};

uint64_t ToV2(uint64_t fid) { return fid / (uint64_t{1} << 54) * (uint64_t{1} << 48) + fid % (uint64_t{1} << 48); }

void RequireKind(const OracleFeature& feature, std::initializer_list<uint32_t> kinds) {
  if (feature.kind != 0 && std::find(kinds.begin(), kinds.end(), feature.kind) == kinds.end()) throw Refusal();
}

std::vector<int64_t> ExpectedFids(const OracleFeature& feature) {
  RequireKind(feature, {1, 2, 7, 16});
  std::vector<int64_t> fids;
  if (feature.kind == 1 || feature.kind == 2) {
    for (const uint64_t fid : feature.fids) fids.push_back(static_cast<int64_t>(feature.kind == 1 ? ToV2(fid) : fid));
  }
  return fids;
}

// `empty` is what a single value is if there is none.
void ExpectFloats(const OracleFeature& feature, float fill, float empty, std::vector<float>* out) {
  RequireKind(feature, {3, 4});
  std::vector<float> values(feature.floats);
  for (const double value : feature.doubles) values.push_back(static_cast<float>(value));
  if (values.empty() && out->size() == 1) values.push_back(empty);
  values.resize(out->size(), fill);
  *out = values;
}

Expected ExpectedOfExample(const OracleRow& row) {
  Expected expected;
  for (const auto& [name, feature] : row.columns) {
    if (name == "a") expected.a = ExpectedFids(feature);
    if (name == "b") expected.b = ExpectedFids(feature);
    if (name == "f") ExpectFloats(feature, 0, 0, &expected.floats);
    if (name == "i") {
      RequireKind(feature, {5});
      expected.ints = feature.ints;
      expected.ints.resize(kWidth, 0);
    }
    if (name == "s") {
      RequireKind(feature, {6});
      if (!feature.strings.empty()) expected.string = feature.strings[0];
    }
  }
  return expected;
}

void ExpectLineId(const OracleLineId& line_id, Expected* expected) {
  expected->uid = {static_cast<int64_t>(line_id.uid)};
  expected->channel = {line_id.chnid};
  expected->rate = {line_id.sample_rate};
  expected->device = line_id.device_type;
  expected->draw = {line_id.is_draw};
  expected->actions.assign(line_id.actions.begin(), line_id.actions.end());
  expected->actions.resize(3, 0);
}

Expected ExampleRow(const OracleRow& row) {
  Expected expected = ExpectedOfExample(row);
  ExpectLineId(row.line_id, &expected);
  const auto label = row.columns.find("label");
  if (label != row.columns.end()) {
    ExpectFloats(label->second, data::kInvalidLabel, 0, &expected.label);
  } else {
    expected.label = row.labels;
    expected.label.resize(kWidth, data::kInvalidLabel);
  }
  const auto weight = row.columns.find("instance_weight");
  if (weight != row.columns.end()) {
    ExpectFloats(weight->second, 0, 1, &expected.weight);
  } else {
    const float value = row.weight.value_or(0);
    expected.weight = {value <= 0 ? 1 : value};
  }
  return expected;
}

Expected InstanceRow(const OracleRow& row) {
  Expected expected;
  ExpectLineId(row.line_id, &expected);
  expected.label = row.labels;
  expected.label.resize(kWidth, 0);
  expected.weight = {row.weight.value_or(1)};
  for (const uint64_t fid : row.v1_fids) {
    if (fid >> 54 == 1) expected.slot1.push_back(static_cast<int64_t>(ToV2(fid)));
    if (fid >> 54 == 2) expected.slot2.push_back(static_cast<int64_t>(ToV2(fid)));
  }
  for (const auto& [name, feature] : row.columns) {
    if (name == "a") expected.a.assign(feature.fids.begin(), feature.fids.end());
    if (name == "b") expected.b.assign(feature.fids.begin(), feature.fids.end());
    if (name == "f" && feature.floats.size() == kWidth) expected.floats = feature.floats;
    // Quantized floats have tests of their own; here only their refusal and their way past others is seen.
    if (name == "f" && feature.floats.size() != kWidth && !feature.strings.empty() &&
        feature.strings[0].compare(0, 6, "UE_QTZ") == 0) {
      throw Refusal();
    }
    if (name == "i" && feature.ints.size() == kWidth) expected.ints = feature.ints;
    if (name == "s" && feature.strings.size() == 1) expected.string = feature.strings[0];
  }
  return expected;
}

// Row i of a column, or nothing where there is no such column.
const OracleFeature* At(const OracleBatch& batch, const std::string& name, int row) {
  const auto it = batch.columns.find(name);
  if (it == batch.columns.end()) return nullptr;
  const bool shared = batch.shared.at(name);
  if (shared ? it->second.empty() : static_cast<int>(it->second.size()) != batch.batch_size) throw Refusal();
  return batch.batch_size == 0 ? nullptr : &it->second[shared ? 0 : row];
}

std::vector<Expected> BatchRowsExpected(const OracleBatch& batch) {
  static const char* const names[] = {"a", "b", "f", "i", "s", "label", "__LABEL__", "__LINE_ID__", "instance_weight"};
  for (const char* name : names) At(batch, name, 0);
  std::vector<Expected> rows;
  for (int i = 0; i < batch.batch_size; ++i) {
    OracleRow row;
    for (const char* name : {"a", "b", "f", "i", "s", "label"}) {
      if (const OracleFeature* feature = At(batch, name, i)) row.columns[name] = *feature;
    }
    if (const OracleFeature* line_id = At(batch, "__LINE_ID__", i)) {
      const auto decoded = line_id->strings.empty() ? std::nullopt : DecodeLineId(line_id->strings[0]);
      if (!decoded) throw Refusal();
      row.line_id = *decoded;
    }
    if (const OracleFeature* labels = At(batch, "__LABEL__", i)) row.labels = labels->floats;
    Expected expected = ExampleRow(row);
    const OracleFeature* weight = At(batch, "instance_weight", i);
    expected.weight = {0};
    if (weight != nullptr) {
      const float value = weight->floats.empty() ? 1 : weight->floats[0];
      expected.weight = {value <= 0 ? 1 : value};
    }
    rows.push_back(expected);
  }
  return rows;
}

std::vector<Expected> ExpectedRows(MessageType type, const std::string& message) {
  if (type == MessageType::kExampleBatch) {
    const auto batch = DecodeExampleBatch(message);
    if (!batch || batch->batch_size < 0 || batch->batch_size > static_cast<int64_t>(message.size()) + 65536)
      throw Refusal();
    return BatchRowsExpected(*batch);
  }
  const auto row = type == MessageType::kInstance ? DecodeInstance(message) : DecodeExample(message);
  if (!row) throw Refusal();
  return {type == MessageType::kInstance ? InstanceRow(*row) : ExampleRow(*row)};
}

bool SameFloats(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

template <typename T>
std::vector<T> Slice(const std::vector<T>& all, int64_t begin, int64_t end) {
  return std::vector<T>(all.begin() + begin, all.begin() + end);
}

void CheckRow(const std::vector<ParsedColumn>& parsed, size_t i, const Expected& expected) {
  const auto fids = [&](int column) {
    return Slice(parsed[column].fids, parsed[column].splits[i], parsed[column].splits[i + 1]);
  };
  const auto floats = [&](int column, size_t width) {
    return Slice(parsed[column].floats, i * width, (i + 1) * width);
  };
  const auto ints = [&](int column, size_t width) { return Slice(parsed[column].ints, i * width, (i + 1) * width); };
  Require(fids(kA) == expected.a && fids(kB) == expected.b, "other fids");
  Require(SameFloats(floats(kFloat, kWidth), expected.floats), "other floats");
  Require(ints(kInt, kWidth) == expected.ints, "other ints");
  Require(parsed[kString].strings[i] == expected.string, "another string");
  Require(SameFloats(floats(kLabel, kWidth), expected.label), "another label");
  Require(SameFloats(floats(kWeight, 1), expected.weight), "another weight");
  Require(ints(kUid, 1) == expected.uid && ints(kActions, 3) == expected.actions && ints(kDraw, 1) == expected.draw &&
              ints(kChannel, 1) == expected.channel,
          "another LineId");
  Require(SameFloats(floats(kRate, 1), expected.rate) && parsed[kDevice].strings[i] == expected.device,
          "another LineId");
  if (parsed.size() > kSlot1)
    Require(fids(kSlot1) == expected.slot1 && fids(kSlot2) == expected.slot2, "other v1 fids");
}

void CheckColumns(MessageType type, const std::string& message) {
  const ColumnPlan plan = NewPlan(type);
  std::vector<Expected> expected;
  bool refused = false;
  try {
    expected = ExpectedRows(type, message);
  } catch (const Refusal&) {
    refused = true;
  }
  std::vector<ParsedColumn> parsed;
  try {
    // A copy of its own size on the heap: a byte beyond it is a finding.
    parsed = Parse(plan, {std::string(message)});
  } catch (const DataError& error) {
    Require(refused, std::string("refused: ") + error.what());
    return;
  }
  Require(!refused || type == MessageType::kInstance, "what should be refused was parsed");
  if (refused) return;  // a quantized column of the right length
  Require(parsed[kA].splits.size() == expected.size() + 1, "another number of rows");
  for (size_t i = 0; i < expected.size(); ++i) CheckRow(parsed, i, expected[i]);
}

// Conversions of valid messages are valid; what they keep reads the same.
void CheckConversions(MessageType type, const std::string& message) {
  std::string made, instance;
  if (type == MessageType::kInstance) {
    data::InstanceToExample(message, &made);
    const auto row = DecodeInstance(message);
    const auto example = DecodeExample(made);
    // Names of an Instance need not be UTF-8, so its Example may be none.
    if (!example) return;
    Require(SameFloats(example->labels, row->labels), "a conversion changes labels");
    Require(example->line_id.actions == row->line_id.actions, "a conversion changes actions");
    size_t fids = 0;
    for (const auto& [name, feature] : example->columns) fids += feature.kind == 1 ? feature.fids.size() : 0;
    Require(fids == row->v1_fids.size(), "a conversion loses fids");
  } else if (type == MessageType::kExample) {
    data::ReadExample(message, data::Pruning::kRawFeatures, &made);
    const auto before = DecodeExample(message), after = DecodeExample(made);
    Require(after.has_value() && after->columns.size() == before->columns.size(),
            "reading an Example changes its columns");
  } else {
    const auto batch = DecodeExampleBatch(message);
    const data::BatchRows rows(message, data::Pruning::kRawFeatures);
    Require(rows.num_rows() == batch->batch_size, "another number of rows");
    for (int64_t i = 0; i < rows.num_rows(); ++i) {
      rows.Row(i, &made);
      const auto row = DecodeExample(made);
      Require(row.has_value(), "a row of a batch is no Example");
      data::ExampleToInstance(made, &instance);
      Require(DecodeInstance(instance).has_value(), "a row of a batch is no Instance");
      for (const auto& [name, feature] : row->columns) {
        const OracleFeature* same = At(*batch, name, static_cast<int>(i));
        Require(same != nullptr && same->fids == feature.fids && same->kind == feature.kind, "a row has other columns");
      }
    }
    return;
  }
  if (type == MessageType::kInstance) return;
  data::ExampleToInstance(made, &instance);
  Require(DecodeInstance(instance).has_value(), "an Example makes no Instance");
}

}  // namespace

int RunMessages(const uint8_t* data, size_t size) {
  static const MessageType types[] = {MessageType::kInstance, MessageType::kExample, MessageType::kExampleBatch};
  InputBytes in(data, size);
  const MessageType type = types[in.Below(3)];
  std::string message;
  const int how = in.Below(3);
  if (how == 0) {
    message = in.Rest();
  } else {
    message = Generator(&in).Message(type);
    if (how == 2) message = Damaged(message, &in);
  }
  CheckColumns(type, message);
  CheckReaders(message);
  if (!data::IsMessage(type, message)) return 0;
  CheckSteps(type, message);
  try {
    CheckConversions(type, message);
  } catch (const DataError&) {
    // A special column or the length of a column does not fit.
  } catch (const Refusal&) {
  }
  return 0;
}

}  // namespace testing
}  // namespace monolith
