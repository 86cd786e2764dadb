// SPDX-License-Identifier: Apache-2.0
// The layout in which synchronous training exchanges ids and rows: K tables times N shards.
//
//   ids:   | shard 0: table 0, table 1, ... table K-1 | shard 1: table 0, ... | ... | shard N-1: ... table K-1 |
//   rows:  the rows of those ids in the same order, each as wide as its table, all flat
//
// Part s * K + t is what shard s has of table t; `fused_slot_size` gives the ids of each part.
#ifndef CC_HASH_TABLE_FUSED_LAYOUT_H_
#define CC_HASH_TABLE_FUSED_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "cc/hash_table/gradient_sum.h"

namespace monolith {

class FusedLayout {
 public:
  struct Part {
    int table;
    int64_t num_ids;
    int64_t id_offset;     // ids of all parts before it
    int64_t value_offset;  // floats of all parts before it
  };

  // `dims` has the width of each table. Throws TableError, naming the element, if there are not K * N sizes, if one is
  // negative, if they do not add up to `num_ids`, or if the offsets do not fit into 32 bits.
  FusedLayout(const int32_t* sizes, int64_t num_sizes, int num_shards, const std::vector<int>& dims, int64_t num_ids);

  int num_tables() const { return static_cast<int>(dims_.size()); }
  int dim(int table) const { return dims_[table]; }
  int num_shards() const { return num_shards_; }
  const std::vector<Part>& parts() const { return parts_; }
  int64_t num_values() const { return num_values_; }

  // Each writes what its name says: offsets have K * N + 1 elements, of which the last is the total; splits N.
  void WriteIdOffsets(int32_t* offsets) const;
  void WriteValueOffsets(int32_t* offsets) const;
  void WriteValueSplits(int32_t* splits) const;

 private:
  const std::vector<int> dims_;
  const int num_shards_;
  std::vector<Part> parts_;
  int64_t num_ids_ = 0;
  int64_t num_values_ = 0;
};

// Where the parts of a layout begin: K * N offsets, or K * N + 1 with a last one that is not used.
struct PartOffsets {
  const int32_t* data;
  int64_t size;
};

// For each table its rows of all shards, in the order of the shards, where the offsets say that they are. Throws
// TableError, naming the offset, if there are not as many as parts, or if a part would lie outside its array; and if
// there are not as many values as the ids need.
std::vector<std::vector<RowRun>> RunsByTable(const FusedLayout& layout, const int64_t* ids, int64_t num_ids,
                                             PartOffsets id_offsets, const float* values, int64_t num_values,
                                             PartOffsets value_offsets);

}  // namespace monolith

#endif  // CC_HASH_TABLE_FUSED_LAYOUT_H_
