// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/batch_update.h"

namespace monolith {

void OptimizePart(EmbeddingTable* table, const std::vector<RowRun>& runs, StepFor step_for, int part, int num_parts,
                  const StepSettings& settings) {
  if (step_for == StepFor::kEachOccurrence) {
    for (const RowRun& run : runs) {
      table->Optimize({run.fids, run.n, run.rows, nullptr, nullptr, part, num_parts}, settings);
    }
    return;
  }
  const GradientSum sum(runs, table->dim(), part, num_parts);
  const int64_t* occurrences = step_for == StepFor::kEachFidCountRows ? sum.occurrences().data() : nullptr;
  table->Optimize(
      {sum.fids().data(), static_cast<int64_t>(sum.fids().size()), nullptr, sum.gradients().data(), occurrences},
      settings);
}

void WritePart(EmbeddingTable* table, const RowRun& run, Write write, int part, int num_parts, int64_t update_ts,
               AdmissionFilter* filter) {
  const Batch batch{run.fids, run.n, run.rows, nullptr, nullptr, part, num_parts};
  if (write == Write::kAssign) return table->Assign(batch, update_ts, filter);
  table->AssignAdd(batch, update_ts, filter);
}

}  // namespace monolith
