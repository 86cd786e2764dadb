// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_HIT_RATES_H_
#define CC_KERNELS_HIT_RATES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "cc/hash_table/multi_table.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {

// How many of the fids that one call looks up its tables have, as the timer lookup_fid_hit_rate, by the name of the
// table. Only tables of serving entries count: training meets new fids all the time.
class HitRates {
 public:
  explicit HitRates(const EmbeddingTable& table) : HitRates(std::vector<const EmbeddingTable*>{&table}, false) {}
  // Also of all tables together, under the name "all".
  explicit HitRates(const MultiTable& tables);
  // `together`: also of all tables.
  HitRates(std::vector<const EmbeddingTable*> tables, bool together);

  // Adds what a part of the call found in table number `table`. Any thread may call.
  void Add(int table, int64_t num_fids, int64_t num_present) {
    if (counts_ == nullptr) return;
    counts_[table].fids.fetch_add(num_fids, std::memory_order_relaxed);
    counts_[table].present.fetch_add(num_present, std::memory_order_relaxed);
  }

  // Once all parts are done.
  void Emit(::tensorflow::OpKernelContext* ctx) const;

 private:
  struct Count {
    std::atomic<int64_t> fids{0};
    std::atomic<int64_t> present{0};
  };

  const std::vector<const EmbeddingTable*> tables_;
  const bool together_;
  std::unique_ptr<Count[]> counts_;  // null: no table has serving entries
};

}  // namespace monolith

#endif  // CC_KERNELS_HIT_RATES_H_
