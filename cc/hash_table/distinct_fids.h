// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_DISTINCT_FIDS_H_
#define CC_HASH_TABLE_DISTINCT_FIDS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace monolith {

// The distinct fids of a batch, numbered in the order of their first occurrence: open addressing over 32-bit cells.
class DistinctFids {
 public:
  explicit DistinctFids(int64_t expected);

  // The number of `fid`; it is new if that is what size() was before.
  int32_t Add(int64_t fid);
  int64_t size() const { return static_cast<int64_t>(fids_.size()); }
  const std::vector<int64_t>& fids() const { return fids_; }

 private:
  void Rehash(std::size_t cells);

  std::vector<int64_t> fids_;
  std::vector<int32_t> cells_;  // 1 + number, or 0
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_DISTINCT_FIDS_H_
