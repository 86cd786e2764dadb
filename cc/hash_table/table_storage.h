// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_TABLE_STORAGE_H_
#define CC_HASH_TABLE_TABLE_STORAGE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "cc/hash_table/entry_slab.h"
#include "cc/hash_table/fid_index.h"

namespace monolith {

// Index and slab of one table: what a restore builds anew and swaps in. Every shard has an index that grows by itself, and
// the shards take turns at growing; all of them share one slab, so that the page that is being filled is one a table.
class TableStorage {
 public:
  struct alignas(64) Shard {
    Shard(double phase, EpochManager* epochs) : index(phase, epochs) {}

    FidIndex index;
    std::atomic<uint64_t> num_keys{0};  // written by the holder of the mutex
    std::mutex mutex;                   // makes its holder the shard's writer
    // Entries that erased keys gave back, guarded by mutex. No index cell refers to them. A reader may still be copying
    // from one; what it copies is then thrown away, for the version it checks has changed.
    std::vector<uint32_t> free;
  };

  TableStorage(size_t entry_bytes, EpochManager* epochs);

  Shard& shard(uint32_t i) { return *shards_[i]; }
  const Shard& shard(uint32_t i) const { return *shards_[i]; }
  EntrySlab& slab() { return slab_; }
  const EntrySlab& slab() const { return slab_; }

  // What is left of a run for a writer to go on with, and where it leaves what is left. Any thread may call.
  EntryRun BorrowRun();
  void ReturnRun(const EntryRun& run);

  // Makes room for `num_keys` keys. Requires: no writer.
  void Reserve(uint64_t num_keys);
  // How many keys a shard should have room for if the table gets `num_keys`.
  static uint64_t KeysOfShard(uint64_t num_keys);
  uint64_t size() const;
  uint64_t NumCells() const;
  uint64_t MemoryBytes() const;

 private:
  EntrySlab slab_;
  std::mutex runs_mutex_;
  std::vector<EntryRun> runs_;                                // those in no writer's hands; guarded by runs_mutex_
  size_t borrowed_ = 0;                                       // the others; guarded by runs_mutex_
  std::array<std::optional<Shard>, kNumIndexShards> shards_;  // made in place: a fid finds its own without a pointer
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_TABLE_STORAGE_H_
