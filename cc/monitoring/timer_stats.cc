// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/timer_stats.h"

#include <algorithm>
#include <cstdio>

namespace monolith {

void TimerStats::Add(double value, int64_t second) {
  const int64_t number = second / 60;
  Minute& minute = minutes_[number % kMinutes];
  if (minute.number != number) minute = {number, {}};
  Summary& summary = minute.summary;
  summary.max = summary.count == 0 ? value : std::max(summary.max, value);
  summary.sum += value;
  ++summary.count;
}

TimerStats::Summary TimerStats::Last(int minutes, int64_t second) const {
  const int64_t last = second / 60;
  Summary all;
  for (const Minute& minute : minutes_) {
    if (minute.number < 0 || minute.number > last || minute.number <= last - minutes) continue;
    all.max = all.count == 0 ? minute.summary.max : std::max(all.max, minute.summary.max);
    all.sum += minute.summary.sum;
    all.count += minute.summary.count;
  }
  return all;
}

std::vector<std::string> TimerRegistry::Add(const std::string& name, double value, int64_t second,
                                            int64_t report_every) {
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_[name].Add(value, second);
  if (reported_at_ < 0) reported_at_ = second;
  if (second - reported_at_ < report_every) return {};
  reported_at_ = second;
  std::vector<std::string> lines;
  for (const auto& [other, stats] : stats_) {
    std::string line = other;
    for (const int minutes : {1, 5, TimerStats::kMinutes}) {
      const TimerStats::Summary s = stats.Last(minutes, second);
      char text[128];
      snprintf(text, sizeof(text), " | %d min: %lld values, mean %.6g, max %.6g", minutes,
               static_cast<long long>(s.count), s.count == 0 ? 0.0 : s.sum / static_cast<double>(s.count), s.max);
      line += text;
    }
    if (stats.Last(TimerStats::kMinutes, second).count > 0) lines.push_back(line);
  }
  return lines;
}

}  // namespace monolith
