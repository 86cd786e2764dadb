// SPDX-License-Identifier: Apache-2.0
// Combines the rows that servers returned for dealt fids (deal_fids.h), and takes gradients back to one sum a fid.
#ifndef MONOLITH_CC_DISTRIBUTION_DEALT_ROWS_H_
#define MONOLITH_CC_DISTRIBUTION_DEALT_ROWS_H_

#include <cstdint>
#include <vector>

#include "cc/distribution/deal_fids.h"
#include "cc/distribution/span.h"
#include "cc/hash_table/combine_plan.h"

namespace monolith::distribution {

// Throws DataError: a place points to no row.
[[noreturn]] void RefusePlace(int64_t place);

// Rows of one table, as wide as its embeddings, on all servers: those of a server one after another.
template <typename Float>
class TableRows {
 public:
  struct Run {
    Float* first = nullptr;
    int64_t rows = 0;
  };

  TableRows(int64_t dim, std::vector<Run> servers) : dim_(dim), servers_(std::move(servers)) {}

  int64_t dim() const { return dim_; }
  const std::vector<Run>& servers() const { return servers_; }
  const Run& RunOf(int64_t place) const {
    const int64_t server = ServerOf(place);
    if (server < 0 || server >= static_cast<int64_t>(servers_.size()) || NumberOf(place) >= servers_[server].rows) {
      RefusePlace(place);
    }
    return servers_[server];
  }
  Float* At(int64_t place) const { return RunOf(place).first + NumberOf(place) * dim_; }

 private:
  int64_t dim_;
  std::vector<Run> servers_;
};

// The rows of every table, within one buffer for each server. `dims` are those of the tables; messages and buffers are
// given by server. Throws DataError if a message is damaged, or its buffer has not as many floats as it has rows.
template <typename Float>
std::vector<TableRows<Float>> FindRows(const std::vector<int64_t>& dims,
                                       const std::vector<Span<const int64_t>>& messages,
                                       const std::vector<Span<Float>>& buffers);

// The floats of all rows that a checked message asks for.
int64_t NumFloats(const std::vector<int64_t>& dims, Span<const int64_t> message);

// Writes rows [first_row, last_row) of `feature` into its columns of `outputs`. `places` are those of the feature's fids.
// Requires: plan.CheckTables holds, `rows` are of the feature's table, and `ids` has monotone splits.
// Throws DataError if a place points to no row.
void CombineDealt(const CombinePlan& plan, int feature, const TableRows<const float>& rows, const FeatureIds& ids,
                  const int64_t* places, int64_t first_row, int64_t last_row, float* const* outputs);

// Sets the part `part` of `num_parts` of the rows of a table to the sums of what their occurrences in `features` get from
// gradients of the outputs: in the order of features, rows and places in a row, so the number of parts changes no bit.
// `ids` and `places` are indexed by feature. Requires: as CombineDealt. Throws DataError if a place points to no row.
void SumDealtGradients(const CombinePlan& plan, const std::vector<int>& features, const TableRows<float>& rows,
                       const std::vector<FeatureIds>& ids, const std::vector<const int64_t*>& places,
                       const float* const* gradients, int part, int num_parts);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_DEALT_ROWS_H_
