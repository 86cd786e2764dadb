// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_OPTIMIZERS_STOCHASTIC_ROUNDING_H_
#define CC_HASH_TABLE_OPTIMIZERS_STOCHASTIC_ROUNDING_H_

#include <memory>

#include "cc/hash_table/optimizer.h"

namespace monolith {

// One of the two half-precision numbers around `value`: the one farther from zero if `draw`, uniform on [0, 1), is at
// most the share of the way that `value` has gone to it, so that the mean over draws is `value`. What a half can hold
// stays, what lies beyond 65504 becomes that, infinities and NaN stay.
float RoundToHalfStochastically(float value, float draw);

// `base`, with the slice's weights rounded in that way after each step.
//
// The draws come from a generator of the thread. They must not be a function of fid, step and weight alone: where a
// caller lets global_step stand still, a weight that was once rounded back would be rounded back for ever.
std::unique_ptr<Optimizer> NewStochasticRoundingOptimizer(std::unique_ptr<Optimizer> base, int dim);

}  // namespace monolith

#endif  // CC_HASH_TABLE_OPTIMIZERS_STOCHASTIC_ROUNDING_H_
