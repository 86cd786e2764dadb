// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_GRADIENT_SUM_H_
#define CC_HASH_TABLE_GRADIENT_SUM_H_

#include <cstdint>
#include <vector>

#include "cc/hash_table/distinct_fids.h"

namespace monolith {

// Fids that stand one after another, and their rows, which do too.
struct RowRun {
  const int64_t* fids;
  int64_t n;
  const float* rows;  // [n, dim]
  const float* looked_up =
      nullptr;  // [n, dim]: the embeddings that gradients were computed from, where they are asked for
};

// The rows of all runs.
int64_t NumRows(const std::vector<RowRun>& runs);

// The distinct fids of a batch, each with the sum of its gradients, ready for EmbeddingTable::Optimize. Fids stand in
// the order of their first occurrence, and gradients are added in the order of the batch, so the result is the same bit
// for bit however the batch is divided among threads (each fid goes to one thread as a whole).
class GradientSum {
 public:
  // Sums rows of `gradients` [n, dim] over equal fids. Takes only fids that fall into part `part` of `num_parts`.
  GradientSum(const int64_t* fids, int64_t n, const float* gradients, int dim, int part, int num_parts);
  // The same of several runs, taken one after another.
  GradientSum(const std::vector<RowRun>& runs, int dim, int part, int num_parts);

  const std::vector<int64_t>& fids() const { return distinct_.fids(); }
  // Row i is the summed gradient of fid i: of a fid that occurs once, the row of the batch itself.
  const std::vector<const float*>& gradients() const { return rows_; }
  const std::vector<int64_t>& occurrences() const { return occurrences_; }
  // What fid i was looked up as, by its first occurrence; empty unless all runs tell.
  const std::vector<const float*>& looked_up() const { return looked_up_; }

 private:
  struct Repeat {
    int32_t number;  // of the fid
    const float* gradient;
  };
  void AddRepeats(const std::vector<Repeat>& repeats, int dim);

  DistinctFids distinct_;
  std::vector<const float*> rows_;
  std::vector<const float*> looked_up_;
  std::vector<int64_t> occurrences_;
  std::vector<float> sums_;  // rows of the fids that occur more than once
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_GRADIENT_SUM_H_
