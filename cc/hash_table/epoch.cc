// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/epoch.h"

#include <algorithm>
#include <limits>
#include <thread>

namespace monolith {
namespace {

size_t HomeCell(size_t num_cells) {
  static std::atomic<size_t> next_thread{0};
  thread_local const size_t thread = next_thread.fetch_add(1, std::memory_order_relaxed);
  return thread % num_cells;
}

}  // namespace

EpochManager::Guard::Guard(EpochManager& manager) {
  const size_t num_cells = manager.cells_.size();
  for (size_t i = HomeCell(num_cells), tries = 0;; i = (i + 1) % num_cells) {
    std::atomic<uint64_t>& cell = manager.cells_[i].epoch;
    uint64_t idle = kIdle;
    // Sequentially consistent, so that either the retiring thread sees this cell, or this reader sees what it published.
    if (cell.load(std::memory_order_relaxed) == kIdle &&
        cell.compare_exchange_strong(idle, manager.epoch_.load(std::memory_order_seq_cst), std::memory_order_seq_cst)) {
      cell_ = &cell;
      return;
    }
    if (++tries % num_cells == 0) std::this_thread::yield();
  }
}

EpochManager::~EpochManager() {
  for (auto& item : retired_) item.second();
}

uint64_t EpochManager::OldestActive() const {
  uint64_t oldest = std::numeric_limits<uint64_t>::max();
  for (const Cell& cell : cells_) {
    const uint64_t epoch = cell.epoch.load(std::memory_order_seq_cst);
    if (epoch != kIdle) oldest = std::min(oldest, epoch);
  }
  return oldest;
}

void EpochManager::Retire(std::function<void()> free_it) {
  std::vector<std::function<void()>> ready;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    retired_.emplace_back(epoch_.fetch_add(1, std::memory_order_seq_cst), std::move(free_it));
    const uint64_t oldest = OldestActive();
    auto keep = std::stable_partition(retired_.begin(), retired_.end(),
                                      [oldest](const auto& item) { return item.first >= oldest; });
    for (auto it = keep; it != retired_.end(); ++it) ready.push_back(std::move(it->second));
    retired_.erase(keep, retired_.end());
  }
  for (auto& free_now : ready) free_now();
}

}  // namespace monolith
