// SPDX-License-Identifier: Apache-2.0
// Records and runs of steps on them, for tests.
#ifndef TESTS_CC_DATA_STEP_RUNS_H_
#define TESTS_CC_DATA_STEP_RUNS_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cc/data/data_error.h"
#include "cc/data/record_head.h"
#include "cc/data/record_step.h"
#include "tests/cc/data/build_messages.h"

namespace monolith {
namespace testing {

// Draws what it was given, one after another; more is a failure.
class Drawn : public data::UniformSource {
 public:
  explicit Drawn(std::vector<double> draws = {}) : draws_(std::move(draws)) {}
  double Next() override { return draws_.at(at_++); }
  size_t used() const { return at_; }

 private:
  const std::vector<double> draws_;
  size_t at_ = 0;
};

// A LineId with actions.
inline std::string WithActions(const std::vector<uint64_t>& actions) { return PackedVarints(6, actions); }

inline std::string InstanceOf(const std::string& line_id, const std::vector<float>& labels = {}) {
  return (labels.empty() ? std::string() : Packed(3, labels)) + Field(5, line_id);
}
inline std::string ExampleOf(const std::string& line_id, const std::vector<float>& labels = {}) {
  return (labels.empty() ? std::string() : Packed(101, labels)) + Field(100, line_id);
}

inline bool Keeps(const data::RecordFilter& filter, const std::string& record) {
  Drawn none;
  return filter.Keep(record, &none);
}

// The changed record, or the record where it stays.
inline std::string Applied(const data::RecordChange& change, const std::string& record,
                           std::vector<double> draws = {}) {
  Drawn drawn(std::move(draws));
  std::string changed;
  return change.Apply(record, &drawn, &changed) ? changed : record;
}

inline std::vector<float> Labels(data::MessageType type, const std::string& record) {
  return data::RecordHead(type, record).labels();
}

// The message of the DataError that `run` throws; empty if it throws none.
inline std::string Refusal(const std::function<void()>& run) {
  try {
    run();
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_DATA_STEP_RUNS_H_
