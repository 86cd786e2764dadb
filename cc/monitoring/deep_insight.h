// SPDX-License-Identifier: Apache-2.0
// Predictions of a training step as messages for deep insight, one line of JSON each:
//
//   {"model_name": "m", "req_time": 1700000000, "uid": 7, "train_time": 0, "predict": {"ctr": 0.5}, "label": {"ctr": 1},
//    "sample_rate": {"ctr": 1}, "sample_ratio": 0.01, "extra_float": {...}, "extra_int": {...}, "extra_str": {...}}
//
// The last three are there if a field of their kind is. A float has the fewest digits that give the same float32 back;
// what is no number (NaN, infinities) is null, since JSON has no word for it. Bytes that are no UTF-8 become U+FFFD.
#ifndef CC_MONITORING_DEEP_INSIGHT_H_
#define CC_MONITORING_DEEP_INSIGHT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {

// Whether rows of a user are sent. A user is in or out as a whole, whatever the step, the worker or the model.
bool IsSampledUser(int64_t uid, double sample_ratio);

// A column besides the ones that every message has. One of the three has a value for each row, the others are empty.
struct DeepInsightField {
  std::string key;
  const float* floats = nullptr;
  const int64_t* ints = nullptr;
  std::vector<std::string_view> strings;
};

// The columns of a step. Matrices are [targets, num_rows], a target's rows side by side.
struct DeepInsightRows {
  int64_t num_rows = 0;
  const int64_t* uids = nullptr;
  const int64_t* req_times = nullptr;
  const float* labels = nullptr;
  const float* preds = nullptr;
  const float* sample_rates = nullptr;
  std::vector<DeepInsightField> extra_fields;
};

// What is the same in all messages of an op.
class DeepInsightFormat {
 public:
  DeepInsightFormat(std::string_view model_name, const std::vector<std::string>& targets, float sample_ratio);

  // A message for each row; an empty one where the row's user is not sampled.
  std::vector<std::string> Messages(const DeepInsightRows& rows, int64_t train_time) const;

 private:
  std::string Message(const DeepInsightRows& rows, int64_t row, int64_t train_time) const;
  void AddTargets(const char* name, const float* values, const DeepInsightRows& rows, int64_t row,
                  std::string* json) const;

  std::string head_;                  // up to the time of the request
  std::vector<std::string> targets_;  // quoted, a colon behind each
  float sample_ratio_;
};

}  // namespace monolith

#endif  // CC_MONITORING_DEEP_INSIGHT_H_
