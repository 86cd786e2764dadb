// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/emit_timer.h"

#include <cstdint>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cc/monitoring/timer_stats.h"
#include "tensorflow/core/platform/logging.h"

namespace monolith {
namespace {

constexpr int64_t kReportEverySeconds = 600;
constexpr char kVariable[] = "MONOLITH_TIMER_REPORT_SECONDS";

int64_t ReportEverySeconds() {
  const char* text = std::getenv(kVariable);
  if (text == nullptr) return kReportEverySeconds;
  int64_t seconds;
  if (absl::SimpleAtoi(text, &seconds) && seconds >= 0) return seconds;
  LOG(WARNING) << kVariable << " is '" << text << "'; it must be a number of seconds, at least 0. Taking "
               << kReportEverySeconds << ".";
  return kReportEverySeconds;
}

}  // namespace

std::string TimerName(const std::string& key, const std::string& tags) {
  return tags.empty() ? key : absl::StrCat(key, "{", tags, "}");
}

void EmitTimer(::tensorflow::Env* env, const std::string& name, double value) {
  // One for the process: ops of several graphs report under the same names.
  static TimerRegistry& registry = *new TimerRegistry;
  static const int64_t report_every = ReportEverySeconds();
  const auto second = static_cast<int64_t>(env->NowSeconds());
  for (const std::string& line : registry.Add(name, value, second, report_every)) LOG(INFO) << line;
}

}  // namespace monolith
