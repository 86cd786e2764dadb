// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/combine.h"

#include <algorithm>

#include "cc/hash_table/combine_columns.h"

namespace monolith {
namespace {

constexpr int64_t kAhead = 32;  // lines of outputs that are prefetched

class RowCombiner {
 public:
  RowCombiner(const CombinePlan& plan, int feature, const EmbeddingTable& table, const FeatureIds& ids,
              float* const* outputs)
      : use_(plan.use(feature)),
        table_(table),
        ids_(ids),
        columns_(plan, use_, outputs),
        batch_(FidsPerBatch(table.dim())) {}

  LookupCounts Run(int64_t first_row, int64_t last_row) {
    const bool one_each = HasLines(first_row, last_row);
    float* lines = one_each ? columns_.Lines(table_.dim()) : nullptr;
    if (lines != nullptr) {
      const int64_t begin = ids_.Begin(first_row);
      Lookup(ids_.fids + begin, ids_.Begin(last_row) - begin, lines + first_row * use_.lines * table_.dim());
      return counts_;
    }
    embeddings_.resize(batch_ * table_.dim());
    if (use_.feature.combiner == Combiner::kFirstN) {
      TakeFirst(first_row, last_row);
    } else if (one_each) {
      TakeOneEach(first_row, last_row);
    } else {
      Pool(first_row, last_row);
    }
    return counts_;
  }

 private:
  void Lookup(const int64_t* fids, int64_t n, float* embeddings) {
    counts_.fids += n;
    counts_.present += table_.Lookup(fids, n, embeddings);
  }

  // Whether every row has as many fids as its outputs have lines, so that no combiner has anything to do.
  bool HasLines(int64_t first_row, int64_t last_row) const {
    if (ids_.splits == nullptr) return ids_.per_row == use_.lines;
    for (int64_t row = first_row; row < last_row; ++row) {
      if (ids_.splits[row + 1] - ids_.splits[row] != use_.lines) return false;
    }
    return true;
  }

  void TakeOneEach(int64_t first_row, int64_t last_row) {
    for (int64_t row = first_row; row < last_row; row += batch_) {
      const int64_t n = std::min(batch_, last_row - row);
      Lookup(ids_.fids + ids_.Begin(row), n, embeddings_.data());
      for (int64_t i = 0; i < n; ++i) {
        if (row + i + kAhead < last_row) columns_.Prefetch(row + i + kAhead);
        columns_.Set(row + i, Embedding(i));
      }
    }
  }

  void Pool(int64_t first_row, int64_t last_row) {
    int64_t next = ids_.Begin(first_row), batch_begin = next, batch_end = next;
    const int64_t end = ids_.Begin(last_row);
    for (int64_t row = first_row; row < last_row; ++row) {
      const int64_t row_begin = ids_.Begin(row), row_end = ids_.Begin(row + 1);
      if (row + kAhead < last_row) columns_.Prefetch(row + kAhead);
      if (row_begin == row_end) columns_.Zero(row);
      for (; next < row_end; ++next) {
        if (next == batch_end) {
          batch_begin = batch_end;
          batch_end = std::min(batch_begin + batch_, end);
          Lookup(ids_.fids + batch_begin, batch_end - batch_begin, embeddings_.data());
        }
        const float* embedding = Embedding(next - batch_begin);
        next == row_begin ? columns_.Set(row, embedding) : columns_.Add(row, embedding);
      }
      const int64_t count = row_end - row_begin;
      if (use_.feature.combiner == Combiner::kMean && count > 1) columns_.Divide(row, static_cast<float>(count));
    }
  }

  void TakeFirst(int64_t first_row, int64_t last_row) {
    for (int64_t row = first_row; row < last_row; ++row) {
      const int64_t begin = ids_.Begin(row);
      const int64_t kept = std::min(ids_.Begin(row + 1) - begin, use_.lines);
      for (int64_t i = 0; i < kept; ++i) {
        fids_.push_back(ids_.fids[begin + i]);
        lines_.push_back(row * use_.lines + i);
        if (static_cast<int64_t>(fids_.size()) == batch_) Flush();
      }
      for (int64_t i = kept; i < use_.lines; ++i) columns_.Zero(row * use_.lines + i);
    }
    Flush();
  }

  void Flush() {
    Lookup(fids_.data(), static_cast<int64_t>(fids_.size()), embeddings_.data());
    for (size_t i = 0; i < lines_.size(); ++i) columns_.Set(lines_[i], Embedding(i));
    fids_.clear();
    lines_.clear();
  }

  const float* Embedding(int64_t i) const { return embeddings_.data() + i * table_.dim(); }

  const CombinePlan::Use& use_;
  const EmbeddingTable& table_;
  const FeatureIds& ids_;
  const ColumnWriter columns_;
  const int64_t batch_;
  std::vector<float> embeddings_;
  LookupCounts counts_;
  std::vector<int64_t> fids_, lines_;  // of kFirstN: what is to be looked up, and where it goes
};

}  // namespace

LookupCounts CombineRows(const CombinePlan& plan, int feature, const EmbeddingTable& table, const FeatureIds& ids,
                         int64_t first_row, int64_t last_row, float* const* outputs) {
  if (first_row >= last_row) return {};
  return RowCombiner(plan, feature, table, ids, outputs).Run(first_row, last_row);
}

}  // namespace monolith
