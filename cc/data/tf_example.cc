// SPDX-License-Identifier: Apache-2.0
#include "cc/data/tf_example.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "cc/data/config_text.h"
#include "cc/data/feature_view.h"
#include "cc/data/fid.h"
#include "cc/data/proto_writer.h"

namespace monolith {
namespace data {
namespace {

// Members of a tf.train.Feature.
enum TfKind : uint32_t { kTfNothing = 0, kTfBytes = 1, kTfFloats = 2, kTfInts = 3 };

struct TfFeature {
  uint32_t kind = kTfNothing;
  std::string list;
};

// As protobuf merges a oneof: the last member stands, pieces of it are one.
TfFeature ReadTfFeature(std::string_view bytes) {
  TfFeature feature;
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    const uint32_t field = tag >> 3;
    if ((tag & 7) != kBytes || field < kTfBytes || field > kTfInts) {
      reader.Skip(tag);
      continue;
    }
    if (field != feature.kind) feature.list.clear();
    feature.kind = field;
    feature.list.append(reader.Bytes());
  }
  return feature;
}

template <typename Value>
void ForEachFloat(std::string_view list, Value value) {
  ForEachFixed(list, 1, kFixed32, [&](const char* values, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      float number;
      std::memcpy(&number, values + 4 * i, 4);
      value(number);
    }
  });
}

// Numbers of a label or a weight.
std::vector<float> Numbers(const std::string& name, const TfFeature& feature) {
  std::vector<float> numbers;
  if (feature.kind == kTfFloats) ForEachFloat(feature.list, [&](float number) { numbers.push_back(number); });
  if (feature.kind == kTfInts) {
    ForEachVarint(feature.list, 1,
                  [&](uint64_t value) { numbers.push_back(static_cast<float>(static_cast<int64_t>(value))); });
  }
  if (feature.kind == kTfBytes) {
    ThrowBadSetting("feature '" + name + "' has bytes; a label or a weight is a float or an int64.");
  }
  return numbers;
}

// The magnitude that stands for a float: 0 for NaN, and no more than the largest float has for infinities.
uint64_t Magnitude(float value) {
  const double most = 128;
  const double magnitude = std::min(std::log2(std::abs(static_cast<double>(value)) + 1), most);
  return std::isnan(magnitude) ? 0 : static_cast<uint64_t>(magnitude);
}

std::string FidFeature(const std::string& name, uint64_t slot, const TfFeature& feature) {
  std::string fids, list, made;
  const auto put = [&](uint64_t signature) {
    const uint64_t fid = MakeFid(2, static_cast<int64_t>(slot), signature);
    fids.append(reinterpret_cast<const char*>(&fid), 8);
  };
  if (feature.kind == kTfBytes) {
    ThrowBadSetting("feature '" + name + "' has bytes; a sparse feature is int64 or float.");
  }
  if (feature.kind == kTfInts) ForEachVarint(feature.list, 1, put);
  if (feature.kind == kTfFloats) ForEachFloat(feature.list, [&](float value) { put(Magnitude(value)); });
  PutBytesField(&list, 1, fids);
  PutBytesField(&made, kFidV2List, list);
  return made;
}

// Both messages have their values in field 1, so the list is the same bytes.
std::string DenseFeature(const TfFeature& feature) {
  const uint32_t kind = feature.kind == kTfBytes ? kBytesList : feature.kind == kTfFloats ? kFloatList : kInt64List;
  std::string made;
  if (feature.kind != kTfNothing) PutBytesField(&made, kind, feature.list);
  return made;
}

void PutColumn(const std::string& name, std::string_view feature, uint64_t id, std::string* example) {
  std::string column;
  PutBytesField(&column, 1, name);
  PutBytesField(&column, 2, feature);
  if (id != 0) PutVarintField(&column, 3, id);
  PutBytesField(example, 1, column);
}

// A damaged list is found by reading it.
void CheckList(const TfFeature& feature) {
  if (feature.kind == kTfFloats) ForEachFloat(feature.list, [](float) {});
  if (feature.kind == kTfInts) ForEachVarint(feature.list, 1, [](uint64_t) {});
  if (feature.kind == kTfBytes) ForEachBytes(feature.list, 1, [](std::string_view) {});
}

}  // namespace

TfExampleReader::TfExampleReader(const TfExampleConfig& config) {
  if (config.sparse_names.size() != config.sparse_slots.size()) {
    ThrowBadSetting("sparse_features has " + std::to_string(config.sparse_names.size()) + " names and " +
                    std::to_string(config.sparse_slots.size()) + " slots; give one slot for every name.");
  }
  std::unordered_set<int64_t> slots;
  for (size_t i = 0; i < config.sparse_names.size(); ++i) {
    const int64_t slot = config.sparse_slots[i];
    if (slot < 1 || slot >= int64_t{1} << kV2SlotBits || !slots.insert(slot).second) {
      ThrowBadSetting("sparse_features has slot " + std::to_string(slot) + " for '" + config.sparse_names[i] +
                      "'; slots must be in [1, 32768), each once.");
    }
    Add(config.sparse_names[i], Use::kSparse, slot);
  }
  for (const std::string& name : config.dense_names) Add(name, Use::kDense, 0);
  if (!config.label.empty()) Add(config.label, Use::kLabel, 0);
  if (!config.instance_weight.empty()) Add(config.instance_weight, Use::kWeight, 0);
}

void TfExampleReader::Add(const std::string& name, Use use, int64_t slot) {
  if (!index_.try_emplace(name, features_.size()).second) {
    ThrowBadSetting("feature '" + name +
                    "' is there twice; sparse_features, dense_features, label and instance_weight have no name in "
                    "common.");
  }
  features_.push_back({name, use, static_cast<uint64_t>(slot)});
}

// The serialized values of the features that are wanted. Of a key that is there twice the last stands.
std::vector<std::string> TfExampleReader::Collect(std::string_view bytes) const {
  std::vector<std::string> values(features_.size());
  ForEachBytes(bytes, 1, [&](std::string_view features) {
    ForEachBytes(features, 1, [&](std::string_view entry) {
      std::string_view key;
      std::string value;
      ProtoReader reader(entry);
      while (const uint32_t tag = reader.Tag()) {
        if (tag == MakeTag(1, kBytes)) {
          key = reader.Bytes();
        } else if (tag == MakeTag(2, kBytes)) {
          value.append(reader.Bytes());
        } else {
          reader.Skip(tag);
        }
      }
      CheckList(ReadTfFeature(value));
      const auto it = index_.find(std::string(key));
      if (it != index_.end()) values[it->second] = std::move(value);
    });
  });
  return values;
}

void TfExampleReader::Convert(std::string_view bytes, std::string* example) const {
  std::vector<std::string> values;
  try {
    values = Collect(bytes);
  } catch (const Malformed&) {
    ThrowBadSetting("the bytes are no serialized tf.train.Example.");
  }
  example->clear();
  bool has_weight = false;
  for (size_t i = 0; i < features_.size(); ++i) {
    has_weight = has_weight || (features_[i].use == Use::kWeight && !values[i].empty());
    if (!values[i].empty()) Put(features_[i], values[i], example);
  }
  if (!has_weight) PutFloatField(example, 102, 1);
}

void TfExampleReader::Put(const Feature& feature, std::string_view value, std::string* example) {
  const TfFeature read = ReadTfFeature(value);
  switch (feature.use) {
    case Use::kSparse:
      return PutColumn(feature.name, FidFeature(feature.name, feature.slot, read), feature.slot, example);
    case Use::kDense:
      return PutColumn(feature.name, DenseFeature(read), 0, example);
    case Use::kLabel:
      for (const float label : Numbers(feature.name, read)) PutFloatField(example, 101, label);
      return;
    case Use::kWeight: {
      const std::vector<float> weights = Numbers(feature.name, read);
      return PutFloatField(example, 102, weights.empty() ? 1 : weights[0]);
    }
  }
}

}  // namespace data
}  // namespace monolith
