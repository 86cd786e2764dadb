// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/fused_layout.h"

#include <limits>
#include <string>

#include "cc/hash_table/table_config.h"

namespace monolith {
namespace {

std::string Element(const char* array, size_t index, int64_t value) {
  return std::string(array) + "[" + std::to_string(index) + "] is " + std::to_string(value);
}

void CheckOffsets(const char* name, PartOffsets offsets, size_t num_parts) {
  const int64_t parts = static_cast<int64_t>(num_parts);
  if (offsets.size != parts && offsets.size != parts + 1) {
    throw TableError(std::string(name) + " has " + std::to_string(offsets.size) + " elements, but there are " +
                     std::to_string(parts) + " parts; pass the offsets that the lookup returned.");
  }
}

// Throws unless [offset, offset + length) lies in an array of `total` elements.
void CheckRange(const char* name, size_t part, int64_t offset, int64_t length, const char* array, int64_t total) {
  if (offset >= 0 && offset + length <= total) return;
  throw TableError(Element(name, part, offset) + ", but part " + std::to_string(part) + " has " +
                   std::to_string(length) + " of the " + std::to_string(total) + " elements of " + array +
                   "; pass the offsets that the lookup returned.");
}

}  // namespace

FusedLayout::FusedLayout(const int32_t* sizes, int64_t num_sizes, int num_shards, const std::vector<int>& dims,
                         int64_t num_ids)
    : dims_(dims), num_shards_(num_shards) {
  const int64_t num_parts = static_cast<int64_t>(dims.size()) * num_shards;
  if (num_sizes != num_parts) {
    throw TableError("fused_slot_size has " + std::to_string(num_sizes) + " elements, but " +
                     std::to_string(dims.size()) + " tables in " + std::to_string(num_shards) + " shards need " +
                     std::to_string(num_parts) + "; pass a size for each table of each shard.");
  }
  for (int64_t i = 0; i < num_parts; ++i) {
    if (sizes[i] < 0) throw TableError(Element("fused_slot_size", i, sizes[i]) + "; it must be at least 0.");
    const int table = static_cast<int>(i % num_tables());
    parts_.push_back({table, sizes[i], num_ids_, num_values_});
    num_ids_ += sizes[i];
    num_values_ += static_cast<int64_t>(sizes[i]) * dims[table];
  }
  if (num_ids_ != num_ids) {
    throw TableError("fused_slot_size adds up to " + std::to_string(num_ids_) + ", but there are " +
                     std::to_string(num_ids) + " ids; pass the size of every part.");
  }
  if (num_values_ > std::numeric_limits<int32_t>::max()) {
    throw TableError("the embeddings have " + std::to_string(num_values_) +
                     " floats, but offsets have 32 bits; pass fewer ids at a time.");
  }
}

void FusedLayout::WriteIdOffsets(int32_t* offsets) const {
  for (const Part& part : parts_) *offsets++ = static_cast<int32_t>(part.id_offset);
  *offsets = static_cast<int32_t>(num_ids_);
}

void FusedLayout::WriteValueOffsets(int32_t* offsets) const {
  for (const Part& part : parts_) *offsets++ = static_cast<int32_t>(part.value_offset);
  *offsets = static_cast<int32_t>(num_values_);
}

void FusedLayout::WriteValueSplits(int32_t* splits) const {
  for (int shard = 0; shard < num_shards_; ++shard) splits[shard] = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    splits[i / dims_.size()] += static_cast<int32_t>(parts_[i].num_ids * dims_[parts_[i].table]);
  }
}

std::vector<std::vector<RowRun>> RunsByTable(const FusedLayout& layout, const int64_t* ids, int64_t num_ids,
                                             PartOffsets id_offsets, const float* values, int64_t num_values,
                                             PartOffsets value_offsets) {
  CheckOffsets("id_offsets", id_offsets, layout.parts().size());
  CheckOffsets("grad_offsets", value_offsets, layout.parts().size());
  if (num_values != layout.num_values()) {
    throw TableError("id_grads has " + std::to_string(num_values) + " floats, but the ids need " +
                     std::to_string(layout.num_values()) + "; pass a row as wide as its table for every id.");
  }
  std::vector<std::vector<RowRun>> runs(layout.num_tables());
  for (size_t i = 0; i < layout.parts().size(); ++i) {
    const FusedLayout::Part& part = layout.parts()[i];
    const int64_t id_offset = id_offsets.data[i], value_offset = value_offsets.data[i];
    CheckRange("id_offsets", i, id_offset, part.num_ids, "ids", num_ids);
    CheckRange("grad_offsets", i, value_offset, part.num_ids * layout.dim(part.table), "id_grads", num_values);
    if (part.num_ids > 0) runs[part.table].push_back({ids + id_offset, part.num_ids, values + value_offset});
  }
  return runs;
}

}  // namespace monolith
