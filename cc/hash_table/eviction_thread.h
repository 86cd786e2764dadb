// SPDX-License-Identifier: Apache-2.0
// Removes expired entries in the background, from those tables whose config asks for it.
//
// One thread serves all tables of a resource. It notes the time when it starts and sleeps until the first table has
// waited for its hours; then the table evicts by its own expire times, and waits for as long again. What "expired"
// means is EmbeddingTable::Evict's: the time that counts is the latest update of the table, not the clock, so that a
// table that nobody trains loses nothing however often the thread comes round.
#ifndef CC_HASH_TABLE_EVICTION_THREAD_H_
#define CC_HASH_TABLE_EVICTION_THREAD_H_

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "cc/hash_table/multi_table.h"

namespace monolith {

// What the thread sleeps by; tests bring one that they move by hand.
class EvictionClock {
 public:
  virtual ~EvictionClock() = default;
  // Seconds since any fixed moment; never goes back.
  virtual int64_t Now() = 0;
  // Returns true when Now() has reached `deadline`, false as soon as Stop was called, also if that was before.
  virtual bool SleepUntil(int64_t deadline) = 0;
  virtual void Stop() = 0;
};

// The system's monotonic clock.
std::unique_ptr<EvictionClock> NewSystemEvictionClock();

class EvictionThread {
 public:
  // Starts a thread unless no table has enable_feature_eviction. `tables` must outlive it. Throws TableError where
  // feature_evict_every_n_hours is below 1.
  explicit EvictionThread(const std::vector<EmbeddingTable*>& tables,
                          std::unique_ptr<EvictionClock> clock = NewSystemEvictionClock());
  explicit EvictionThread(MultiTable* tables, std::unique_ptr<EvictionClock> clock = NewSystemEvictionClock())
      : EvictionThread(tables->all(), std::move(clock)) {}
  // Wakes the thread and waits until it is gone: for a pass over one table at most.
  ~EvictionThread();
  EvictionThread(const EvictionThread&) = delete;
  EvictionThread& operator=(const EvictionThread&) = delete;

  bool running() const { return thread_.joinable(); }

 private:
  struct Turn {
    EmbeddingTable* table;
    int64_t seconds;  // between two evictions
    int64_t due = 0;
  };

  void Run();

  const std::unique_ptr<EvictionClock> clock_;
  std::vector<Turn> turns_;  // the thread's own once it runs
  std::thread thread_;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_EVICTION_THREAD_H_
