// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_TABLE_STORAGE_H_
#define CC_HASH_TABLE_TABLE_STORAGE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "cc/hash_table/entry_slab.h"
#include "cc/hash_table/fid_index.h"

namespace monolith {

// Index and slab of one table: what a restore builds anew and swaps in. Every shard has an index that grows by itself, and
// the shards take turns at growing; all of them share one slab, so that the page that is being filled is one a table.
class TableStorage {
 public:
  struct alignas(64) Shard {
    Shard(double phase, EpochManager* epochs, EntrySlab* slab) : index(phase, epochs), run(slab) {}

    FidIndex index;
    std::atomic<uint64_t> num_keys{0};  // written by the holder of the mutex
    std::mutex mutex;                   // makes its holder the shard's writer
    EntryRun run;                       // guarded by mutex
  };

  TableStorage(size_t entry_bytes, EpochManager* epochs);

  Shard& shard(uint32_t i) { return *shards_[i]; }
  const Shard& shard(uint32_t i) const { return *shards_[i]; }
  const EntrySlab& slab() const { return slab_; }

  // Makes room for `num_keys` keys. Requires: no writer.
  void Reserve(uint64_t num_keys);
  uint64_t size() const;
  uint64_t MemoryBytes() const;

 private:
  EntrySlab slab_;
  std::array<std::optional<Shard>, kNumIndexShards> shards_;  // made in place: a fid finds its own without a pointer
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_TABLE_STORAGE_H_
