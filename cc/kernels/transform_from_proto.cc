// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/transform_from_proto.h"

#include <utility>
#include <vector>

#include "cc/data/config_text.h"
#include "cc/data/fid_filter.h"
#include "cc/data/label_filter.h"
#include "cc/data/label_tasks.h"
#include "cc/data/value_filter.h"
#include "monolith/native_training/data/transform/transform_config.pb.h"

namespace monolith {
namespace {

namespace proto = ::monolith::native_training::data;
using data::MessageType;
using data::TransformStep;

using ReadFile = std::string (*)(const std::string& path);

TransformStep FilterStep(std::unique_ptr<data::RecordFilter> filter) {
  TransformStep step;
  step.filter = std::move(filter);
  return step;
}

TransformStep FidStep(MessageType type, const proto::FilterByFidConfig& from) {
  data::FidFilterConfig config;
  config.has_fids.assign(from.has_fids().begin(), from.has_fids().end());
  config.filter_fids.assign(from.filter_fids().begin(), from.filter_fids().end());
  config.select_fids.assign(from.select_fids().begin(), from.select_fids().end());
  return FilterStep(data::NewFidFilter(type, config));
}

TransformStep ActionStep(MessageType type, const proto::FilterByActionConfig& from) {
  data::FidFilterConfig config;
  config.has_actions.assign(from.has_actions().begin(), from.has_actions().end());
  return FilterStep(data::NewFidFilter(type, config));
}

TransformStep LabelStep(MessageType type, const proto::FilterByLabelConfig& from) {
  return FilterStep(data::NewLabelFilter(type, {from.thresholds().begin(), from.thresholds().end()}, false));
}

TransformStep AddLabelStep(MessageType type, const proto::AddLabelConfig& from) {
  std::vector<data::LabelTask> tasks;
  for (const auto& task : from.task_label_configs()) {
    tasks.push_back({{task.pos_actions().begin(), task.pos_actions().end()},
                     {task.neg_actions().begin(), task.neg_actions().end()},
                     task.sample_rate()});
  }
  TransformStep step;
  step.change = data::NewAddLabel(type, std::move(tasks), from.negative_value(), from.new_sample_rate());
  return step;
}

data::Operands OperandsOf(const proto::FilterByValueConfig& from, ReadFile read_file) {
  data::Operands operands;
  operands.floats.assign(from.float_operand().begin(), from.float_operand().end());
  operands.ints.assign(from.int_operand().begin(), from.int_operand().end());
  operands.texts.assign(from.string_operand().begin(), from.string_operand().end());
  const std::string& path = from.operand_filepath();
  if (path.empty()) return operands;
  const bool any = !operands.floats.empty() || !operands.ints.empty() || !operands.texts.empty();
  if (any || (from.op() != "in" && from.op() != "not-in")) {
    data::ThrowBadSetting("operand_filepath is '" + path + "' for op '" + from.op() +
                          "'; it stands in place of operands, for in and not-in.");
  }
  return data::ReadFilterValues(read_file(path), data::LineIdKind(from.field_name()));
}

TransformStep ValueStep(MessageType type, const proto::FilterByValueConfig& from, ReadFile read_file) {
  const data::LineIdTest test(from.field_name(), from.op(), OperandsOf(from, read_file), from.keep_empty());
  return FilterStep(data::NewValueFilter(type, test));
}

TransformStep BasicStep(MessageType type, const proto::BasicTransformConfig& from, ReadFile read_file) {
  switch (from.type_case()) {
    case proto::BasicTransformConfig::kFilterByFid:
      return FidStep(type, from.filter_by_fid());
    case proto::BasicTransformConfig::kFilterByAction:
      return ActionStep(type, from.filter_by_action());
    case proto::BasicTransformConfig::kFilterByLabel:
      return LabelStep(type, from.filter_by_label());
    case proto::BasicTransformConfig::kAddLabel:
      return AddLabelStep(type, from.add_label());
    case proto::BasicTransformConfig::kFilterByValue:
      return ValueStep(type, from.filter_by_value(), read_file);
    case proto::BasicTransformConfig::TYPE_NOT_SET:
      break;
  }
  data::ThrowBadSetting("config has a transform without a type; make it by a transform's as_proto().");
}

}  // namespace

std::unique_ptr<data::RecordExpansion> TransformFromProto(MessageType type, const std::string& config,
                                                          ReadFile read_file) {
  proto::TransformConfig parsed;
  if (!parsed.ParseFromString(config)) {
    data::ThrowBadSetting("config is no serialized TransformConfig; make it by a transform's as_proto().");
  }
  std::vector<TransformStep> steps;
  for (const auto& one : parsed.configs()) {
    if (one.has_logical_or_config()) {
      TransformStep step;
      step.either = std::make_unique<std::pair<TransformStep, TransformStep>>(
          BasicStep(type, one.logical_or_config().x(), read_file),
          BasicStep(type, one.logical_or_config().y(), read_file));
      steps.push_back(std::move(step));
    } else {
      steps.push_back(BasicStep(type, one.basic_config(), read_file));
    }
  }
  return data::NewTransform(std::move(steps));
}

}  // namespace monolith
