// SPDX-License-Identifier: Apache-2.0
// How reads of a training slice anticipate the compressor that it will be served with.
//
// The stored floats stay as they are, and that is what assign, assign-add, save and restore act on; lookups see them
// through the retriever, and gradients, which are with respect to what a lookup gave, pass back through it.
#ifndef CC_HASH_TABLE_RETRIEVER_H_
#define CC_HASH_TABLE_RETRIEVER_H_

#include <cstdint>
#include <memory>

#include "cc/hash_table/table_config.h"

namespace monolith {

// Any thread may call any method at any time.
class Retriever {
 public:
  virtual ~Retriever() = default;
  virtual void Read(const float* stored, int dim, float* embedding) const = 0;
  // False: the gradient passes as it is, and ScaleGradient is not to be called.
  virtual bool scales_gradients() const = 0;
  // Writes the gradient with respect to `stored` into `scaled`, which does not overlap the others. Requires:
  // global_step >= 0.
  virtual void ScaleGradient(const float* stored, const float* gradient, int dim, int64_t global_step,
                             float* scaled) = 0;
};

// Null where reads are plain: for fp32, fp16 and an unset compressor. Throws TableError for settings that make no sense
// and for an unknown name.
std::unique_ptr<Retriever> NewRetriever(const CompressorConfig& config);

}  // namespace monolith

#endif  // CC_HASH_TABLE_RETRIEVER_H_
