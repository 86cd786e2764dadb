// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/eviction_thread.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <string>
#include <utility>

namespace monolith {
namespace {

constexpr int64_t kSecondsPerHour = 3600;

class SystemEvictionClock : public EvictionClock {
 public:
  int64_t Now() override {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::seconds>(since).count();
  }

  bool SleepUntil(int64_t deadline) override {
    const std::chrono::steady_clock::time_point until{std::chrono::seconds(deadline)};
    std::unique_lock<std::mutex> lock(mutex_);
    return !stopping_.wait_until(lock, until, [this] { return stopped_; });
  }

  void Stop() override {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    stopping_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stopped_ = false;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<EvictionClock> NewSystemEvictionClock() { return std::make_unique<SystemEvictionClock>(); }

EvictionThread::EvictionThread(const std::vector<EmbeddingTable*>& tables, std::unique_ptr<EvictionClock> clock)
    : clock_(std::move(clock)) {
  for (EmbeddingTable* table : tables) {
    const TableConfig& config = table->config();
    if (!config.enable_feature_eviction) continue;
    if (config.feature_evict_every_n_hours < 1) {
      throw TableError("table '" + config.name + "': feature_evict_every_n_hours is " +
                       std::to_string(config.feature_evict_every_n_hours) +
                       "; it must be at least 1, or enable_feature_eviction off.");
    }
    turns_.push_back({table, config.feature_evict_every_n_hours * kSecondsPerHour});
  }
  if (!turns_.empty()) thread_ = std::thread([this] { Run(); });
}

EvictionThread::~EvictionThread() {
  clock_->Stop();
  if (thread_.joinable()) thread_.join();
}

void EvictionThread::Run() {
  const int64_t start = clock_->Now();
  for (Turn& turn : turns_) turn.due = start + turn.seconds;
  const auto earlier = [](const Turn& a, const Turn& b) { return a.due < b.due; };
  while (true) {
    const auto next = std::min_element(turns_.begin(), turns_.end(), earlier);
    if (!clock_->SleepUntil(next->due)) return;
    try {
      next->table->Evict(next->table->config().expire);
    } catch (const std::bad_alloc&) {
      // What one pass leaves, the next one takes: a moment without memory is no reason to end the process.
    }
    next->due = clock_->Now() + next->seconds;
  }
}

}  // namespace monolith
