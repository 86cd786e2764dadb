// SPDX-License-Identifier: Apache-2.0
// What was measured under a name in the last minutes.
#ifndef CC_MONITORING_TIMER_STATS_H_
#define CC_MONITORING_TIMER_STATS_H_

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace monolith {

// Count, sum and largest of the values of the last minutes, kept by minute.
class TimerStats {
 public:
  static constexpr int kMinutes = 15;

  struct Summary {
    int64_t count = 0;
    double sum = 0;
    double max = 0;
  };

  void Add(double value, int64_t second);

  // Of the `minutes` (at most kMinutes) up to the minute of `second`.
  Summary Last(int minutes, int64_t second) const;

 private:
  struct Minute {
    int64_t number = -1;
    Summary summary;
  };

  std::array<Minute, kMinutes> minutes_;
};

// The stats of all names, and when they are due to be reported. Thread-safe.
class TimerRegistry {
 public:
  // Adds a value. Once in `report_every` seconds it returns a line for every name with values in the last 15 minutes,
  // otherwise nothing.
  std::vector<std::string> Add(const std::string& name, double value, int64_t second, int64_t report_every);

 private:
  std::mutex mutex_;
  std::map<std::string, TimerStats> stats_;
  int64_t reported_at_ = -1;
};

}  // namespace monolith

#endif  // CC_MONITORING_TIMER_STATS_H_
