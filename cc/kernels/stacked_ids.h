// SPDX-License-Identifier: Apache-2.0
// The stacked layout of multi-table ops: ids table after table, rows of each table as wide as its dim, all flat.
#ifndef CC_KERNELS_STACKED_IDS_H_
#define CC_KERNELS_STACKED_IDS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "cc/hash_table/multi_table.h"
#include "cc/kernels/hit_rates.h"
#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {

// The ids of one table (of one request).
struct IdGroup {
  int table;
  const int64_t* ids;
  int64_t num_ids;
  int64_t value_offset;  // floats before this group's rows
  int64_t rate_offset;   // slices before this table's
};

struct StackedIds {
  std::vector<IdGroup> groups;
  int64_t num_values = 0;  // floats of all rows
};

// Reads and checks `id` and `id_split`; several requests may follow another if `many_requests`.
absl::Status ReadStackedIds(::tensorflow::OpKernelContext* ctx, int id_input, int split_input, const MultiTable& tables,
                            bool many_requests, StackedIds* stacked);

// How the ids of a large group are divided.
enum class PartsOf {
  kRows,  // ranges of rows: each part costs what it holds
  kFids,  // by fid (PartOfFid): each part has to look through the whole group, so there are no more than threads
};

// Runs work(group, part, num_parts) for every group on the framework's pool; a small group has one part. Work that takes
// its rows in order, as every part of kFids can, gives results that do not depend on the number of parts. Returns the
// first error thrown.
absl::Status RunParts(::tensorflow::OpKernelContext* ctx, const StackedIds& stacked, PartsOf parts_of,
                      const std::function<void(const IdGroup& group, int part, int num_parts)>& work);

// Whether every table of which there are ids can take a step, before the first of them does.
absl::Status CheckSteps(const StackedIds& stacked, const std::function<const EmbeddingTable&(int table)>& table_of,
                        int64_t global_step, bool has_looked_up);

// Reads the embeddings of rows that part `part` of `num_parts` has into their place in `values`, which has all groups',
// and counts the fids that the group's table has.
void LookupRows(const EmbeddingTable& table, const IdGroup& group, int part, int num_parts, float* values,
                HitRates* hit_rates);

}  // namespace monolith

#endif  // CC_KERNELS_STACKED_IDS_H_
