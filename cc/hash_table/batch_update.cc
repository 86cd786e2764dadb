// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/batch_update.h"

#include <algorithm>

namespace monolith {
namespace {

struct Rows {
  std::vector<int64_t> fids;
  std::vector<const float*> rows;
};

Rows SelectPart(const std::vector<RowRun>& runs, int dim, int part, int num_parts) {
  const int64_t total = NumRows(runs);
  Rows own;
  own.fids.reserve(total / num_parts + total / 16);
  own.rows.reserve(own.fids.capacity());
  for (const RowRun& run : runs) {
    for (int64_t i = 0; i < run.n; ++i) {
      if (num_parts > 1 && PartOfFid(run.fids[i], num_parts) != part) continue;
      own.fids.push_back(run.fids[i]);
      own.rows.push_back(run.rows + i * dim);
    }
  }
  return own;
}

void Apply(EmbeddingTable* table, Write write, const int64_t* fids, int64_t n, const float* rows, int64_t update_ts,
           AdmissionFilter* filter) {
  const auto apply = write == Write::kAssign ? &EmbeddingTable::Assign : &EmbeddingTable::AssignAdd;
  (table->*apply)(fids, n, rows, update_ts, filter);
}

}  // namespace

void OptimizePart(EmbeddingTable* table, const std::vector<RowRun>& runs, StepFor step_for, int part, int num_parts,
                  const StepSettings& settings) {
  if (step_for == StepFor::kEachOccurrence) {
    const Rows own = SelectPart(runs, table->dim(), part, num_parts);
    table->Optimize(own.fids.data(), own.fids.size(), own.rows.data(), nullptr, settings.learning_rates,
                    settings.update_ts, settings.global_step, settings.filter);
    return;
  }
  const GradientSum sum(runs, table->dim(), part, num_parts);
  const int64_t* occurrences = step_for == StepFor::kEachFidCountRows ? sum.occurrences().data() : nullptr;
  table->Optimize(sum.fids().data(), sum.fids().size(), sum.gradients().data(), occurrences, settings.learning_rates,
                  settings.update_ts, settings.global_step, settings.filter);
}

void WritePart(EmbeddingTable* table, const RowRun& run, Write write, int part, int num_parts, int64_t update_ts,
               AdmissionFilter* filter) {
  if (num_parts == 1) return Apply(table, write, run.fids, run.n, run.rows, update_ts, filter);
  const int dim = table->dim();
  const Rows own = SelectPart({run}, dim, part, num_parts);
  std::vector<float> packed(own.fids.size() * dim);
  for (size_t i = 0; i < own.rows.size(); ++i) std::copy(own.rows[i], own.rows[i] + dim, packed.begin() + i * dim);
  Apply(table, write, own.fids.data(), own.fids.size(), packed.data(), update_ts, filter);
}

}  // namespace monolith
