// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/background_records.h"

#include <iterator>
#include <utility>

namespace monolith {

BackgroundRecords::BackgroundRecords(size_t capacity, Write write)
    : capacity_(capacity), write_(std::move(write)), thread_([this] { Run(); }) {}

BackgroundRecords::~BackgroundRecords() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::string BackgroundRecords::Put(std::vector<std::string> records) {
  for (std::string& record : records) {
    if (record.empty()) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.size() < capacity_ || !error_.empty(); });
    if (!error_.empty()) return error_;
    waiting_.push_back(std::move(record));
    lock.unlock();
    changed_.notify_all();
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  return error_;
}

void BackgroundRecords::Run() {
  for (;;) {
    std::vector<std::string> records;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return !waiting_.empty() || is_ending_; });
      if (waiting_.empty()) return;
      records.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.end()));
      waiting_.clear();
    }
    changed_.notify_all();
    std::string error = write_(records);
    if (error.empty()) continue;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      error_ = std::move(error);
      waiting_.clear();
    }
    changed_.notify_all();
    return;
  }
}

}  // namespace monolith
