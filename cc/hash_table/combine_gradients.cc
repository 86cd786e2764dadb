// SPDX-License-Identifier: Apache-2.0
// The way back of combine.h. First the distinct fids and, of each, a chain of where it occurs; then, batch after batch of
// distinct fids, their gradients from the gradients of the outputs.
#include <algorithm>

#include "cc/hash_table/combine.h"
#include "cc/hash_table/combine_columns.h"
#include "cc/hash_table/distinct_fids.h"
#include "cc/hash_table/hashing.h"

namespace monolith {
namespace {

constexpr int32_t kNone = -1;
constexpr int64_t kAhead = 32;  // fids whose gradients are prefetched

// One place of a fid.
struct Occurrence {
  CombinedLine line;
  int32_t feature;  // position in the list of features
  int32_t next;     // the fid's next occurrence, or kNone
};

// The distinct fids of one part of a table's features, and their occurrences in order.
class Occurrences {
 public:
  Occurrences(const CombinePlan& plan, const std::vector<int>& features, const std::vector<FeatureIds>& ids, int part,
              int num_parts)
      : part_(part), num_parts_(num_parts), distinct_(CountFids(features, ids) / num_parts) {
    const int64_t expected = CountFids(features, ids) / num_parts;
    all_.reserve(expected);
    first_.reserve(expected);
    last_.reserve(expected);
    for (size_t i = 0; i < features.size(); ++i) {
      AddFeature(plan.use(features[i]), ids[features[i]], static_cast<int32_t>(i));
    }
  }

  const std::vector<int64_t>& fids() const { return distinct_.fids(); }
  const Occurrence& First(int64_t fid_number) const { return all_[first_[fid_number]]; }
  const Occurrence& At(int32_t i) const { return all_[i]; }

 private:
  static int64_t CountFids(const std::vector<int>& features, const std::vector<FeatureIds>& ids) {
    int64_t count = 0;
    for (const int feature : features) count += ids[feature].num_fids();
    return count;
  }

  void AddFeature(const CombinePlan::Use& use, const FeatureIds& ids, int32_t feature) {
    const bool sequence = use.feature.combiner == Combiner::kFirstN;
    for (int64_t row = 0; row < ids.batch; ++row) {
      const int64_t begin = ids.Begin(row), count = ids.Begin(row + 1) - begin;
      const float divisor = use.feature.combiner == Combiner::kMean ? static_cast<float>(count) : 1.0f;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t line = !sequence ? row : i < use.lines ? row * use.lines + i : kNoLine;
        Add(ids.fids[begin + i], {{line, divisor}, feature, kNone});
      }
    }
  }

  void Add(int64_t fid, const Occurrence& occurrence) {
    if (num_parts_ > 1 && PartOfFid(fid, num_parts_) != part_) return;
    const int32_t at = static_cast<int32_t>(all_.size());
    const int32_t number = distinct_.Add(fid);
    all_.push_back(occurrence);
    if (number == static_cast<int32_t>(first_.size())) {
      first_.push_back(at);
      last_.push_back(at);
    } else {
      all_[last_[number]].next = at;
      last_[number] = at;
    }
  }

  const int part_, num_parts_;
  DistinctFids distinct_;
  std::vector<Occurrence> all_;
  std::vector<int32_t> first_, last_;  // of every distinct fid
};

}  // namespace

void OptimizeCombined(const CombinePlan& plan, const std::vector<int>& features, EmbeddingTable* table,
                      const std::vector<FeatureIds>& ids, const float* const* gradients, const StepSettings& step,
                      int part, int num_parts) {
  const Occurrences occurrences(plan, features, ids, part, num_parts);
  std::vector<ColumnReader> readers;
  for (const int feature : features) readers.emplace_back(plan, plan.use(feature), gradients, table->dim());
  const int64_t batch = FidsPerBatch(table->dim());
  std::vector<float> scratch(batch * table->dim());
  std::vector<const float*> rows(batch);
  const std::vector<int64_t>& fids = occurrences.fids();
  const int64_t num_fids = static_cast<int64_t>(fids.size());
  for (int64_t begin = 0; begin < num_fids; begin += batch) {
    const int64_t n = std::min(batch, num_fids - begin);
    for (int64_t i = 0; i < n; ++i) {
      if (begin + i + kAhead < num_fids) {
        const Occurrence& ahead = occurrences.First(begin + i + kAhead);
        readers[ahead.feature].Prefetch(ahead.line);
      }
      const Occurrence* o = &occurrences.First(begin + i);
      rows[i] = o->next == kNone ? readers[o->feature].Whole(o->line) : nullptr;
      if (rows[i] != nullptr) continue;
      float* gradient = scratch.data() + i * table->dim();
      readers[o->feature].Set(o->line, gradient);
      while (o->next != kNone) {
        o = &occurrences.At(o->next);
        readers[o->feature].Add(o->line, gradient);
      }
      rows[i] = gradient;
    }
    table->Optimize({fids.data() + begin, n, nullptr, rows.data()}, step);
  }
}

}  // namespace monolith
