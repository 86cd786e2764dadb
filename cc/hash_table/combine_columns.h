// SPDX-License-Identifier: Apache-2.0
// One feature's columns in the outputs of a plan: where lines of them are written, and gradients read.
#ifndef CC_HASH_TABLE_COMBINE_COLUMNS_H_
#define CC_HASH_TABLE_COMBINE_COLUMNS_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cc/hash_table/combine_floats.h"
#include "cc/hash_table/combine_plan.h"

namespace monolith {

inline void AddTo(const float* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}

// Where a column of an output begins. An output without lines may lie nowhere.
template <typename Float>
Float* ColumnOf(Float* output, int64_t column) {
  return output == nullptr ? nullptr : output + column;
}

// Writes the lines of one feature's columns.
class ColumnWriter {
 public:
  ColumnWriter(const CombinePlan& plan, const CombinePlan::Use& use, float* const* outputs) {
    for (const CombineSlice& slice : use.slices) {
      const int64_t width = plan.outputs()[slice.output].width;
      columns_.push_back({ColumnOf(outputs[slice.output], slice.column), width, slice.begin, slice.dim});
    }
  }

  void Set(int64_t line, const float* embedding) const {
    for (const Columns& c : columns_) CopyFloats(embedding + c.begin, c.dim, c.at + line * c.width);
  }
  void Prefetch(int64_t line) const {
    for (const Columns& c : columns_) PrefetchFloats<true>(c.at + line * c.width, c.dim);
  }
  void Add(int64_t line, const float* embedding) const {
    for (const Columns& c : columns_) AddTo(embedding + c.begin, c.dim, c.at + line * c.width);
  }
  void Divide(int64_t line, float by) const {
    for (const Columns& c : columns_) {
      float* at = c.at + line * c.width;
      for (int64_t i = 0; i < c.dim; ++i) at[i] /= by;
    }
  }
  void Zero(int64_t line) const {
    for (const Columns& c : columns_) std::memset(c.at + line * c.width, 0, c.dim * sizeof(float));
  }
  // Where lines are embeddings, whole and one after another: the first of them. Else null.
  float* Lines(int dim) const {
    const bool whole = columns_.size() == 1 && columns_[0].dim == dim && columns_[0].width == dim;
    return whole ? columns_[0].at : nullptr;
  }

 private:
  struct Columns {
    float* at;
    int64_t width, begin, dim;
  };
  std::vector<Columns> columns_;
};

constexpr int64_t kNoLine = -1;

// Where the gradient of an embedding comes from.
struct CombinedLine {
  int64_t line;   // of the outputs; kNoLine: dropped by kFirstN
  float divisor;  // of kMean: the number of fids in the row; else 1
};

// Reads the gradients of one feature's embeddings from those of its outputs.
class ColumnReader {
 public:
  ColumnReader(const CombinePlan& plan, const CombinePlan::Use& use, const float* const* gradients, int dim)
      : dim_(dim), tiles_(Tiles(use, dim)) {
    for (const CombineSlice& slice : use.slices) {
      const int64_t width = plan.outputs()[slice.output].width;
      columns_.push_back({ColumnOf(gradients[slice.output], slice.column), width, slice.begin, slice.dim});
    }
  }

  // The gradient itself where it lies in one piece, else null.
  const float* Whole(const CombinedLine& at) const {
    if (columns_.size() != 1 || !tiles_ || at.line == kNoLine || at.divisor != 1.0f) return nullptr;
    return columns_[0].at + at.line * columns_[0].width;
  }

  void Prefetch(const CombinedLine& at) const {
    if (at.line == kNoLine) return;
    for (const Columns& c : columns_) PrefetchFloats<false>(c.at + at.line * c.width, c.dim);
  }

  void Set(const CombinedLine& at, float* gradient) const {
    if (at.line == kNoLine || !tiles_) {
      std::memset(gradient, 0, dim_ * sizeof(float));
      if (at.line != kNoLine) Add(at, gradient);
      return;
    }
    for (const Columns& c : columns_) {
      const float* from = c.at + at.line * c.width;
      float* to = gradient + c.begin;
      if (at.divisor != 1.0f) {
        for (int64_t i = 0; i < c.dim; ++i) to[i] = from[i] / at.divisor;
      } else {
        CopyFloats(from, c.dim, to);
      }
    }
  }

  void Add(const CombinedLine& at, float* gradient) const {
    if (at.line == kNoLine) return;
    for (const Columns& c : columns_) {
      const float* from = c.at + at.line * c.width;
      float* to = gradient + c.begin;
      if (at.divisor != 1.0f) {
        for (int64_t i = 0; i < c.dim; ++i) to[i] += from[i] / at.divisor;
      } else {
        AddTo(from, c.dim, to);
      }
    }
  }

 private:
  struct Columns {
    const float* at;
    int64_t width, begin, dim;
  };

  // Whether every float of the embedding is in one slice and no more.
  static bool Tiles(const CombinePlan::Use& use, int dim) {
    std::vector<char> used(dim, 0);
    int64_t floats = 0;
    for (const CombineSlice& slice : use.slices) {
      std::fill_n(used.begin() + slice.begin, slice.dim, 1);
      floats += slice.dim;
    }
    return floats == dim && std::count(used.begin(), used.end(), 1) == dim;
  }

  const int dim_;
  const bool tiles_;
  std::vector<Columns> columns_;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_COMBINE_COLUMNS_H_
