// SPDX-License-Identifier: Apache-2.0
#include "cc/data/label_values.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cc/data/column_values.h"
#include "cc/data/config_text.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

// A change of labels that are there.
class LabelChange : public RecordChange {
 public:
  explicit LabelChange(MessageType type) : type_(type) { CheckHasHead(type); }

  bool Apply(std::string_view record, UniformSource*, std::string* changed) const override {
    const RecordHead head(type_, record);
    std::vector<float> labels = head.labels();
    if (!Change(head, &labels)) return false;
    *changed = WithLabels(type_, record, labels);
    return true;
  }

 private:
  // False if they stay.
  virtual bool Change(const RecordHead& head, std::vector<float>* labels) const = 0;

  const MessageType type_;
};

class LabelUpperBound : public LabelChange {
 public:
  LabelUpperBound(MessageType type, std::vector<float> bounds) : LabelChange(type), bounds_(std::move(bounds)) {
    if (bounds_.empty()) ThrowBadSetting("label_upper_bounds is empty; give one bound for every label.");
  }

 private:
  bool Change(const RecordHead&, std::vector<float>* labels) const override {
    if (labels->size() < bounds_.size()) return false;
    bool changes = false;
    for (size_t i = 0; i < bounds_.size(); ++i) {
      changes = changes || (*labels)[i] > bounds_[i];
      (*labels)[i] = std::min((*labels)[i], bounds_[i]);
    }
    return changes;
  }

  const std::vector<float> bounds_;
};

using Method = float (*)(float x, float v);

struct NamedMethod {
  const char* name;
  Method method;
  bool divides;
};

constexpr NamedMethod kMethods[] = {
    {"log", [](float x, float v) { return std::log(std::max(x + v, 0.0f)); }, false},
    {"scale", [](float x, float v) { return x / v; }, true},
    {"scale2int", [](float x, float v) { return std::trunc(x / v); }, true},
    {"pow", [](float x, float v) { return std::pow(x + 1, v); }, false},
    {"repow", [](float x, float v) { return x > 0 ? std::pow(x, v) : 0.0f; }, false},
    {"scalelog", [](float x, float v) { return std::log(std::max(x / v + 1, 0.0f)); }, true},
};

class LabelNormalization : public LabelChange {
 public:
  LabelNormalization(MessageType type, const std::vector<std::string>& methods, const std::vector<float>& values)
      : LabelChange(type) {
    if (methods.empty() || methods.size() != values.size()) {
      ThrowBadSetting("norm_methods has " + std::to_string(methods.size()) + " methods and norm_values " +
                      std::to_string(values.size()) + " values; give at least one method, and a value for each.");
    }
    for (size_t i = 0; i < methods.size(); ++i) {
      const NamedMethod& method = MethodNamed(methods[i]);
      if (method.divides && values[i] == 0) {
        ThrowBadSetting("norm_values has 0 for '" + methods[i] + "', which divides by it; give another value.");
      }
      steps_.emplace_back(method.method, values[i]);
    }
  }

 private:
  static const NamedMethod& MethodNamed(const std::string& name) {
    std::string known;
    for (const NamedMethod& method : kMethods) {
      if (name == method.name) return method;
      known += (known.empty() ? "" : ", ") + std::string(method.name);
    }
    ThrowBadSetting("norm_methods has '" + name + "'; use " + known + ".");
  }

  bool Change(const RecordHead&, std::vector<float>* labels) const override {
    for (float& label : *labels) {
      if (label == kInvalidLabel) continue;
      for (const auto& [method, value] : steps_) label = method(label, value);
    }
    return !labels->empty();
  }

  std::vector<std::pair<Method, float>> steps_;
};

class FillMultiRankOutput : public LabelChange {
 public:
  FillMultiRankOutput(MessageType type, RankSource source, int64_t num_ranks)
      : LabelChange(type), source_(source), num_ranks_(num_ranks) {
    if (num_ranks < 1) ThrowBadSetting("rank_num is " + std::to_string(num_ranks) + "; it must be at least 1.");
  }

 private:
  bool Change(const RecordHead& head, std::vector<float>* labels) const override {
    labels->push_back(static_cast<float>(Rank(head)));
    return true;
  }

  int64_t Rank(const RecordHead& head) const {
    if (source_ == RankSource::kDraw) return head.Ints("is_draw")[0];
    if (source_ == RankSource::kLineIdRank) return std::min(head.Ints("rank")[0], num_ranks_ - 1);
    const int64_t channel = head.Ints("chnid")[0];
    return channel == 0 || channel == 1 ? channel : 2;
  }

  const RankSource source_;
  const int64_t num_ranks_;
};

class UseFieldAsLabel : public LabelChange {
 public:
  UseFieldAsLabel(MessageType type, const std::string& field_name, bool overwrite_invalid, float threshold)
      : LabelChange(type),
        field_(FieldNamed(field_name)),
        overwrite_invalid_(overwrite_invalid),
        threshold_(threshold) {}

 private:
  static const LineIdField& FieldNamed(const std::string& name) {
    const LineIdField& field = LineIdFieldOfSetting("field_name", name);
    if (field.repeated || field.kind == LineIdField::Kind::kString) {
      ThrowBadSetting("field_name is '" + name + "'; a label is made of a field with one number.");
    }
    return field;
  }

  bool Change(const RecordHead& head, std::vector<float>* labels) const override {
    const LineIdValue found = ReadLineIdField(field_, head.line_id());
    float value = field_.is_int() ? static_cast<float>(found.ints[0]) : found.number;
    if (field_.kind == LineIdField::Kind::kFixed64) value = static_cast<float>(static_cast<uint64_t>(found.ints[0]));
    if (overwrite_invalid_ && value >= threshold_) value = 0;
    for (float& label : *labels) label = std::max(label, value);
    return !labels->empty();
  }

  const LineIdField& field_;
  const bool overwrite_invalid_;
  const float threshold_;
};

}  // namespace

std::unique_ptr<RecordChange> NewLabelUpperBound(MessageType type, std::vector<float> bounds) {
  return std::make_unique<LabelUpperBound>(type, std::move(bounds));
}

std::unique_ptr<RecordChange> NewLabelNormalization(MessageType type, const std::vector<std::string>& methods,
                                                    const std::vector<float>& values) {
  return std::make_unique<LabelNormalization>(type, methods, values);
}

std::unique_ptr<RecordChange> NewFillMultiRankOutput(MessageType type, RankSource source, int64_t num_ranks) {
  return std::make_unique<FillMultiRankOutput>(type, source, num_ranks);
}

std::unique_ptr<RecordChange> NewUseFieldAsLabel(MessageType type, const std::string& field_name,
                                                 bool overwrite_invalid, float threshold) {
  return std::make_unique<UseFieldAsLabel>(type, field_name, overwrite_invalid, threshold);
}

}  // namespace data
}  // namespace monolith
