// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_OPTIMIZERS_DC_H_
#define CC_HASH_TABLE_OPTIMIZERS_DC_H_

#include <memory>

#include "cc/hash_table/optimizer.h"

namespace monolith {

// Delay compensation (Zheng et al. 2017, https://arxiv.org/abs/1609.08326, with a constant lambda): a step
// of `base` with
//
//   g' = g + lambda * g^2 * (w - latest_w)
//
// where latest_w are the weights that the gradient was computed from: StepContext.latest_weights, `dim` floats; null
// means that nothing has changed since, so that g' = g.
//
// For callers that have those weights. A table has not, and a copy in its entries would not stand for them, so
// NewOptimizer refuses the name "dc" (docs/architecture.md, last section).
std::unique_ptr<Optimizer> NewDcOptimizer(std::unique_ptr<Optimizer> base, float lambda, int dim);

}  // namespace monolith

#endif  // CC_HASH_TABLE_OPTIMIZERS_DC_H_
