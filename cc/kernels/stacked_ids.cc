// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/stacked_ids.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/kernels/run_units.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace monolith {
namespace {

constexpr int64_t kIdsPerPart = 4096;
constexpr int64_t kMostParts = 64;

absl::Status CheckSplit(const int64_t* split, int64_t size, int64_t num_tables, int64_t num_ids, bool many_requests) {
  const bool fits = num_tables > 0 &&
                    (many_requests ? size >= 1 + num_tables && (size - 1) % num_tables == 0 : size == 1 + num_tables);
  if (!fits && !(num_tables == 0 && size == 1)) {
    return absl::InvalidArgumentError(absl::StrCat("id_split has ", size, " elements, but ", num_tables,
                                                   " tables need ", num_tables + 1,
                                                   "; pass the row splits of the ids, one row a table."));
  }
  if (split[0] != 0 || split[size - 1] != num_ids) {
    return absl::InvalidArgumentError(absl::StrCat("id_split runs from ", split[0], " to ", split[size - 1],
                                                   ", but there are ", num_ids, " ids; it must run from 0 to that."));
  }
  for (int64_t i = 1; i < size; ++i) {
    if (split[i] < split[i - 1]) {
      return absl::InvalidArgumentError(absl::StrCat("id_split decreases at ", i, " (", split[i - 1], " to ", split[i],
                                                     "); pass row splits in order."));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadStackedIds(::tensorflow::OpKernelContext* ctx, int id_input, int split_input, const MultiTable& tables,
                            bool many_requests, StackedIds* stacked) {
  const auto ids = ctx->input(id_input).flat<int64_t>();
  const auto split = ctx->input(split_input).flat<int64_t>();
  if (split.size() == 0) return absl::InvalidArgumentError("id_split is empty; it must have at least one element.");
  const int64_t num_tables = tables.num_tables();
  TF_RETURN_IF_ERROR(CheckSplit(split.data(), split.size(), num_tables, ids.size(), many_requests));
  int64_t rate_offset = 0;
  for (int64_t i = 0; i + 1 < split.size(); ++i) {
    const int table = static_cast<int>(i % num_tables);
    if (table == 0) rate_offset = 0;
    const int64_t num_ids = split(i + 1) - split(i);
    stacked->groups.push_back({table, ids.data() + split(i), num_ids, stacked->num_values, rate_offset});
    stacked->num_values += num_ids * tables.table(table).dim();
    rate_offset += tables.table(table).num_slices();
  }
  return absl::OkStatus();
}

absl::Status RunParts(::tensorflow::OpKernelContext* ctx, const StackedIds& stacked, PartsOf parts_of,
                      const std::function<void(const IdGroup& group, int part, int num_parts)>& work) {
  struct Unit {
    const IdGroup* group;
    int part;
    int num_parts;
  };
  const int64_t most_parts = parts_of == PartsOf::kRows ? kMostParts : std::min<int64_t>(kMostParts, NumThreads(ctx));
  std::vector<Unit> units;
  int64_t num_ids = 0;
  for (const IdGroup& group : stacked.groups) {
    if (group.num_ids == 0) continue;
    num_ids += group.num_ids;
    const int parts = static_cast<int>(std::clamp<int64_t>(group.num_ids / kIdsPerPart, 1, most_parts));
    for (int part = 0; part < parts; ++part) units.push_back({&group, part, parts});
  }
  if (units.empty()) return absl::OkStatus();
  return RunUnits(ctx, units.size(), std::max<int64_t>(1, num_ids / units.size()) * kCostPerId,
                  [&](int64_t i) { work(*units[i].group, units[i].part, units[i].num_parts); });
}

absl::Status CheckSteps(const StackedIds& stacked, const std::function<const EmbeddingTable&(int table)>& table_of,
                        int64_t global_step, bool has_looked_up) {
  return ToStatus([&] {
    for (const IdGroup& group : stacked.groups) {
      if (group.num_ids > 0) table_of(group.table).CheckOptimize(global_step, has_looked_up);
    }
  });
}

void LookupRows(const EmbeddingTable& table, const IdGroup& group, int part, int num_parts, float* values,
                HitRates* hit_rates) {
  const int64_t begin = group.num_ids * part / num_parts;
  const int64_t end = group.num_ids * (part + 1) / num_parts;
  float* const rows = values + group.value_offset + begin * table.dim();
  hit_rates->Add(group.table, end - begin, table.Lookup(group.ids + begin, end - begin, rows));
}

}  // namespace monolith
