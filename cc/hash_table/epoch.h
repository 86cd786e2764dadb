// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_EPOCH_H_
#define CC_HASH_TABLE_EPOCH_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace monolith {

// Epoch-based reclamation: what a reader without locks may still be looking at is freed only after every reader that
// was active when it was retired has left. A reader enters once a batch, so its cost vanishes in the batch.
class EpochManager {
 public:
  EpochManager() = default;
  EpochManager(const EpochManager&) = delete;
  EpochManager& operator=(const EpochManager&) = delete;
  // Requires: no reader is active.
  ~EpochManager();

  // Marks the calling scope as a reader.
  class Guard {
   public:
    explicit Guard(EpochManager& manager);
    ~Guard() { cell_->store(kIdle, std::memory_order_release); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::atomic<uint64_t>* cell_;
  };

  // Calls `free_it` once no reader that is active now is still active; perhaps at once, perhaps in a later Retire.
  void Retire(std::function<void()> free_it);

 private:
  static constexpr uint64_t kIdle = 0;
  struct alignas(64) Cell {
    std::atomic<uint64_t> epoch{kIdle};
  };

  uint64_t OldestActive() const;

  std::atomic<uint64_t> epoch_{1};
  std::array<Cell, 256> cells_;
  std::mutex mutex_;
  std::vector<std::pair<uint64_t, std::function<void()>>> retired_;  // guarded by mutex_
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_EPOCH_H_
