// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CC_FUZZ_MAP_TABLE_H_
#define TESTS_CC_FUZZ_MAP_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cc/hash_table/optimizer.h"
#include "tests/cc/hash_table/table_kinds.h"

namespace monolith {
namespace testing {

// What a table should be, as a map of vectors: the rules of the interface one fid at a time, without threads, bytes or
// growth. Only the arithmetic of a step is the library's, which has tests of its own.
class MapTable {
 public:
  struct Entry {
    std::vector<float> kept;
    std::vector<std::vector<float>> states;  // of each slice
    uint32_t update_ts = 0;
  };
  using Entries = std::unordered_map<int64_t, Entry>;

  explicit MapTable(const TableKind& kind);

  const Entries& entries() const { return entries_; }
  int64_t max_update_ts() const { return max_update_ts_; }
  std::vector<float> Lookup(int64_t fid) const;

  // `admitted`: whether the fid may come in if it is absent.
  void Assign(int64_t fid, const std::vector<float>& row, int64_t update_ts, bool admitted);
  void AssignAdd(int64_t fid, const std::vector<float>& row, int64_t update_ts, bool admitted);
  void Optimize(int64_t fid, const std::vector<float>& gradient, const std::vector<float>& rates, int64_t update_ts,
                int64_t global_step, bool admitted);
  // Returns whether the fid was there.
  bool Reinitialize(int64_t fid, int64_t now);
  uint64_t Evict(const ExpireConfig& expire);
  // What a save with these expire times holds.
  Entries Saved(const ExpireConfig& expire) const;
  // Replaces everything by the saved entries of a shard.
  void Restore(const Entries& saved, uint64_t shard, uint64_t num_shards);

 private:
  void RaiseMaxUpdateTs(int64_t update_ts);
  Entry Fresh() const;
  // The entry of a fid that is there or may come in; else null.
  Entry* ToWrite(int64_t fid, int64_t update_ts, bool admitted);
  bool IsExpired(int64_t fid, const Entry& entry, const ExpireConfig& expire) const;

  const TableKind& kind_;
  std::vector<std::unique_ptr<Optimizer>> optimizers_;
  Entries entries_;
  int64_t max_update_ts_ = 0;
};

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_FUZZ_MAP_TABLE_H_
