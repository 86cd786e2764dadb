// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_INITIALIZER_H_
#define CC_HASH_TABLE_INITIALIZER_H_

#include <cstdint>
#include <memory>

#include "cc/hash_table/table_config.h"

namespace monolith {

// Gives a slice its first values: a function of (seed, slice, fid) alone, so that a run repeats whatever the threads,
// the order of arrival and the number of servers.
class Initializer {
 public:
  virtual ~Initializer() = default;
  // False: all fids get the same values.
  virtual bool depends_on_fid() const = 0;
  virtual void Fill(int64_t fid, float* values, int dim) const = 0;
};

// Throws TableError for an unset kind or a range that is not one.
std::unique_ptr<Initializer> NewInitializer(const InitializerConfig& config, uint64_t seed, int slice);

}  // namespace monolith

#endif  // CC_HASH_TABLE_INITIALIZER_H_
