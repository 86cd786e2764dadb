// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_GRADIENT_SUM_H_
#define CC_HASH_TABLE_GRADIENT_SUM_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace monolith {

// Fids that stand one after another, and their rows, which do too.
struct RowRun {
  const int64_t* fids;
  int64_t n;
  const float* rows;  // [n, dim]
};

// The distinct fids of a batch, each with the sum of its gradients, ready for EmbeddingTable::Optimize. Fids stand in
// the order of their first occurrence, and gradients are added in the order of the batch, so the result is the same bit
// for bit however the batch is divided among threads (each fid goes to one thread as a whole).
class GradientSum {
 public:
  // Sums rows of `gradients` [n, dim] over equal fids. Takes only fids that fall into part `part` of `num_parts`.
  GradientSum(const int64_t* fids, int64_t n, const float* gradients, int dim, int part, int num_parts);
  // The same of several runs, taken one after another.
  GradientSum(const std::vector<RowRun>& runs, int dim, int part, int num_parts);

  const std::vector<int64_t>& fids() const { return fids_; }
  // Row i is the summed gradient of fid i: of a fid that occurs once, the row of the batch itself.
  const std::vector<const float*>& gradients() const { return rows_; }
  const std::vector<int64_t>& occurrences() const { return occurrences_; }

 private:
  void Add(int64_t fid, const float* gradient);
  void Rehash(std::size_t cells);

  const int dim_;
  std::vector<int64_t> fids_;
  std::vector<const float*> rows_;
  std::vector<int64_t> occurrences_;
  std::vector<int32_t> cells_;           // open addressing: 1 + position in fids_, or 0
  std::deque<std::vector<float>> sums_;  // rows of fids that occur more than once
};

// The part, of `num_parts`, that a fid belongs to when a batch is divided among threads.
int PartOfFid(int64_t fid, int num_parts);

}  // namespace monolith

#endif  // CC_HASH_TABLE_GRADIENT_SUM_H_
