// SPDX-License-Identifier: Apache-2.0
// Updates of one table by a batch that is divided among threads by fid: all rows of a fid are one part's, in the batch's
// order, so the result does not depend on the number of parts.
#ifndef CC_HASH_TABLE_BATCH_UPDATE_H_
#define CC_HASH_TABLE_BATCH_UPDATE_H_

#include <cstdint>
#include <vector>

#include "cc/hash_table/embedding_table.h"
#include "cc/hash_table/gradient_sum.h"

namespace monolith {

// What takes one optimizer step, and how often the occurrence filter counts an absent fid.
enum class StepFor {
  kEachOccurrence,    // every row; once a row
  kEachFid,           // the sum of a fid's rows; once
  kEachFidCountRows,  // the sum of a fid's rows; once a row
};

// Takes the optimizer steps of part `part` of `num_parts`; rows of `runs` are gradients.
void OptimizePart(EmbeddingTable* table, const std::vector<RowRun>& runs, StepFor step_for, int part, int num_parts,
                  const StepSettings& settings);

enum class Write { kAssign, kAssignAdd };

// Overwrites, or adds to, the embeddings of part `part` of `num_parts`.
void WritePart(EmbeddingTable* table, const RowRun& run, Write write, int part, int num_parts, int64_t update_ts,
               AdmissionFilter* filter);

}  // namespace monolith

#endif  // CC_HASH_TABLE_BATCH_UPDATE_H_
