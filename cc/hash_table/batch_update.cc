// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/batch_update.h"

namespace monolith {

void OptimizePart(EmbeddingTable* table, const std::vector<RowRun>& runs, StepFor step_for, int part, int num_parts,
                  const StepSettings& settings) {
  if (step_for == StepFor::kEachOccurrence) {
    for (const RowRun& run : runs) {
      table->Optimize({run.fids, run.n, run.rows, nullptr, nullptr, part, num_parts, run.looked_up}, settings);
    }
    return;
  }
  const GradientSum sum(runs, table->dim(), part, num_parts);
  Batch batch{sum.fids().data(), static_cast<int64_t>(sum.fids().size())};
  batch.row_of = sum.gradients().data();
  if (step_for == StepFor::kEachFidCountRows) batch.occurrences = sum.occurrences().data();
  if (!sum.looked_up().empty()) batch.looked_up_of = sum.looked_up().data();
  table->Optimize(batch, settings);
}

void WritePart(EmbeddingTable* table, const RowRun& run, Write write, int part, int num_parts, int64_t update_ts,
               AdmissionFilter* filter) {
  const Batch batch{run.fids, run.n, run.rows, nullptr, nullptr, part, num_parts};
  if (write == Write::kAssign) return table->Assign(batch, update_ts, filter);
  table->AssignAdd(batch, update_ts, filter);
}

}  // namespace monolith
