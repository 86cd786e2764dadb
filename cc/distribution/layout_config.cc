// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/layout_config.h"

#include <algorithm>
#include <map>
#include <set>

#include "cc/data/data_error.h"
#include "cc/data/feature_view.h"
#include "cc/data/proto_reader.h"

namespace monolith::distribution {
namespace {

using data::MakeTag;
using data::ProtoReader;

[[noreturn]] void Refuse(const std::string& message) {
  throw DataError(DataError::Code::kFailedPrecondition, "feature_cfgs: " + message);
}

struct FeatureProto {
  std::string table;
  uint64_t pooling = 0;
  int64_t width = 0;
  int64_t length = 0;
};

struct SliceProto {
  std::string feature;
  int64_t start = 0, end = 0;
};

struct OutProto {
  std::vector<SliceProto> slices;
  uint64_t type = 0;
};

int64_t Int32(uint64_t varint) { return static_cast<int32_t>(varint); }

FeatureProto ReadFeature(std::string_view message) {
  FeatureProto feature;
  ProtoReader reader(message);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(1, data::kBytes)) {
      feature.table = reader.Bytes();
    } else if (tag == MakeTag(2, data::kVarint)) {
      feature.pooling = reader.Varint();
    } else if (tag == MakeTag(4, data::kVarint)) {
      feature.length = Int32(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
  return feature;
}

// The widths of slice_dims, a repeated field that stands among bytes fields.
int64_t ReadWidth(const std::string& name, std::string_view message) {
  int64_t width = 0;
  const auto add = [&](uint64_t dim) {
    if (Int32(dim) < 1) Refuse("feature '" + name + "' has a slice of dim " + std::to_string(Int32(dim)) + ".");
    width += Int32(dim);
  };
  ProtoReader reader(message);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(3, data::kBytes)) {
      ProtoReader packed(reader.Bytes());
      while (!packed.Done()) add(packed.Varint());
    } else if (tag == MakeTag(3, data::kVarint)) {
      add(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
  if (width == 0) Refuse("feature '" + name + "' has no slice_dims.");
  return width;
}

SliceProto ReadSlice(std::string_view message) {
  SliceProto slice;
  ProtoReader reader(message);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(1, data::kBytes)) {
      slice.feature = reader.Bytes();
    } else if (tag == MakeTag(2, data::kVarint)) {
      slice.start = Int32(reader.Varint());
    } else if (tag == MakeTag(3, data::kVarint)) {
      slice.end = Int32(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
  return slice;
}

OutProto ReadOut(std::string_view message) {
  OutProto out;
  ProtoReader reader(message);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(1, data::kBytes)) {
      out.slices.push_back(ReadSlice(reader.Bytes()));
    } else if (tag == MakeTag(2, data::kVarint)) {
      out.type = reader.Varint();
    } else {
      reader.Skip(tag);
    }
  }
  return out;
}

// An entry of a map<string, message>.
std::pair<std::string, std::string_view> ReadEntry(std::string_view entry) {
  std::pair<std::string, std::string_view> found{"", std::string_view("", 0)};
  ProtoReader reader(entry);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(1, data::kBytes)) {
      found.first = reader.Bytes();
    } else if (tag == MakeTag(2, data::kBytes)) {
      found.second = reader.Bytes();
    } else {
      reader.Skip(tag);
    }
  }
  return found;
}

class Builder {
 public:
  void AddFeature(std::string_view entry) {
    const auto [name, message] = ReadEntry(entry);
    FeatureProto feature = ReadFeature(message);
    feature.width = ReadWidth(name, message);
    if (feature.pooling > 3 || feature.pooling == 2) {
      Refuse("feature '" + name + "' has pooling_type " + std::to_string(feature.pooling) +
             "; it is SUM, MEAN or FIRSTN.");
    }
    const bool sequence = static_cast<Pooling>(feature.pooling) == Pooling::kFirstN;
    if (sequence && feature.length < 1) {
      Refuse("feature '" + name + "' has max_sequence_length " + std::to_string(feature.length) +
             "; FIRSTN keeps at least 1.");
    }
    if (!sequence) feature.length = 0;
    features_[name] = feature;
  }

  void AddOut(std::string_view entry) {
    const auto [name, message] = ReadEntry(entry);
    outs_[name] = ReadOut(message);
  }

  LayoutConfig Build() {
    LayoutConfig config;
    std::set<std::string> tables;
    for (const auto& [name, feature] : features_) tables.insert(feature.table);
    config.tables.assign(tables.begin(), tables.end());
    for (const auto& [name, feature] : features_) {
      numbers_[name] = static_cast<int>(config.features.size());
      const auto table = std::lower_bound(config.tables.begin(), config.tables.end(), feature.table);
      config.features.push_back({name, static_cast<int>(table - config.tables.begin()),
                                 static_cast<Pooling>(feature.pooling), feature.length, feature.width});
    }
    for (const auto& [name, out] : outs_) AddTensors(name, out, &config);
    return config;
  }

 private:
  void AddTensors(const std::string& name, const OutProto& out, LayoutConfig* config) {
    if (out.type > 3) Refuse("layout '" + name + "' has out_type " + std::to_string(out.type) + ".");
    const auto type = static_cast<OutType>(out.type);
    std::vector<LayoutTensor> tensors(type == OutType::kNone ? out.slices.size() : 1);
    for (size_t i = 0; i < out.slices.size(); ++i) {
      const LayoutSlice slice = Slice(name, out.slices[i], *config);
      LayoutTensor& tensor = tensors[type == OutType::kNone ? i : 0];
      tensor.type = type;
      Check(name, slice, *config, &tensor);
      tensor.slices.push_back(slice);
    }
    if (out.slices.empty()) Refuse("layout '" + name + "' has no slice_configs.");
    config->tensors.insert(config->tensors.end(), tensors.begin(), tensors.end());
  }

  LayoutSlice Slice(const std::string& layout, const SliceProto& proto, const LayoutConfig& config) const {
    const auto found = numbers_.find(proto.feature);
    if (found == numbers_.end()) {
      Refuse("layout '" + layout + "' has a slice of feature '" + proto.feature + "', which has no FeatureConfig.");
    }
    const int64_t width = config.features[found->second].width;
    if (proto.start < 0 || proto.end <= proto.start || proto.end > width) {
      Refuse("layout '" + layout + "': slice [" + std::to_string(proto.start) + ", " + std::to_string(proto.end) +
             ") is not within feature '" + proto.feature + "' of width " + std::to_string(width) + ".");
    }
    return {found->second, proto.start, proto.end};
  }

  static void Check(const std::string& name, const LayoutSlice& slice, const LayoutConfig& config,
                    LayoutTensor* tensor) {
    const LayoutFeature& feature = config.features[slice.feature];
    if (tensor->slices.empty()) tensor->length = feature.length;
    if (feature.length != tensor->length) {
      Refuse("layout '" + name + "': feature '" + feature.name + "' has " + std::to_string(feature.length) +
             " positions, others " + std::to_string(tensor->length) + " (0: pooled); give them layouts of their own.");
    }
    if (tensor->type == OutType::kAddN && feature.length > 0) {
      Refuse("layout '" + name + "' adds feature '" + feature.name + "', a sequence; ADDN takes pooled features.");
    }
    const bool same = tensor->type == OutType::kStack || tensor->type == OutType::kAddN;
    if (same && !tensor->slices.empty() && tensor->slices[0].dim() != slice.dim()) {
      Refuse("layout '" + name + "' stacks or adds slices of dims " + std::to_string(tensor->slices[0].dim()) +
             " and " + std::to_string(slice.dim()) + "; they must be equal.");
    }
  }

  std::map<std::string, FeatureProto> features_;
  std::map<std::string, OutProto> outs_;
  std::map<std::string, int> numbers_;
};

}  // namespace

int64_t LayoutTensor::width() const {
  if (type != OutType::kConcat) return slices[0].dim();
  int64_t width = 0;
  for (const LayoutSlice& slice : slices) width += slice.dim();
  return width;
}

std::vector<int64_t> LayoutTensor::shape(int64_t batch) const {
  std::vector<int64_t> shape{batch};
  if (type == OutType::kStack) shape.push_back(static_cast<int64_t>(slices.size()));
  if (length > 0) shape.push_back(length);
  shape.push_back(width());
  return shape;
}

LayoutConfig ParseLayoutConfig(std::string_view feature_configs) {
  Builder builder;
  ProtoReader reader(feature_configs);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(1, data::kBytes)) {
      builder.AddFeature(reader.Bytes());
    } else if (tag == MakeTag(2, data::kBytes)) {
      builder.AddOut(reader.Bytes());
    } else {
      reader.Skip(tag);
    }
  }
  return builder.Build();
}

}  // namespace monolith::distribution
