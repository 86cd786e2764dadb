// SPDX-License-Identifier: Apache-2.0
#include "cc/data/label_filter.h"

#include <utility>

#include "cc/data/config_text.h"
#include "cc/data/record_head.h"

namespace monolith {
namespace data {
namespace {

class LabelFilter : public RecordFilter {
 public:
  LabelFilter(MessageType type, std::vector<float> thresholds, bool filter_equal)
      : type_(type), thresholds_(std::move(thresholds)), filter_equal_(filter_equal) {
    CheckHasHead(type);
    if (thresholds_.empty()) ThrowBadSetting("label_threshold is empty; give one threshold for every label.");
  }

  bool Keep(std::string_view record, UniformSource*) const override {
    const RecordHead head(type_, record);
    const std::vector<float>& labels = head.labels();
    if (labels.size() < thresholds_.size()) return false;
    for (size_t i = 0; i < thresholds_.size(); ++i) {
      if (filter_equal_ ? labels[i] > thresholds_[i] : labels[i] >= thresholds_[i]) return true;
    }
    return false;
  }

 private:
  const MessageType type_;
  const std::vector<float> thresholds_;
  const bool filter_equal_;
};

}  // namespace

std::unique_ptr<RecordFilter> NewLabelFilter(MessageType type, std::vector<float> thresholds, bool filter_equal) {
  return std::make_unique<LabelFilter>(type, std::move(thresholds), filter_equal);
}

}  // namespace data
}  // namespace monolith
