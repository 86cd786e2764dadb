// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/hit_rates.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/kernels/emit_timer.h"

namespace monolith {
namespace {

std::vector<const EmbeddingTable*> AllOf(const MultiTable& tables) {
  std::vector<const EmbeddingTable*> all;
  for (int i = 0; i < tables.num_tables(); ++i) all.push_back(&tables.table(i));
  return all;
}

bool Serves(const EmbeddingTable* table) { return table->config().entry_type == TableConfig::EntryType::kServing; }

void EmitRate(::tensorflow::Env* env, const std::string& name, int64_t num_fids, int64_t num_present) {
  if (num_fids == 0) return;
  EmitTimer(env, TimerName("lookup_fid_hit_rate", absl::StrCat("name=", name)),
            static_cast<double>(num_present) / static_cast<double>(num_fids));
}

}  // namespace

HitRates::HitRates(const MultiTable& tables) : HitRates(AllOf(tables), true) {}

HitRates::HitRates(std::vector<const EmbeddingTable*> tables, bool together)
    : tables_(std::move(tables)), together_(together) {
  if (std::any_of(tables_.begin(), tables_.end(), Serves)) counts_ = std::make_unique<Count[]>(tables_.size());
}

void HitRates::Emit(::tensorflow::OpKernelContext* ctx) const {
  if (counts_ == nullptr) return;
  int64_t all_fids = 0, all_present = 0;
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (!Serves(tables_[i])) continue;
    const int64_t num_fids = counts_[i].fids.load(), num_present = counts_[i].present.load();
    EmitRate(ctx->env(), tables_[i]->config().name, num_fids, num_present);
    all_fids += num_fids;
    all_present += num_present;
  }
  if (together_) EmitRate(ctx->env(), "all", all_fids, all_present);
}

}  // namespace monolith
