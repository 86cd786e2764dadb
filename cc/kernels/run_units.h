// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_RUN_UNITS_H_
#define CC_KERNELS_RUN_UNITS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {

constexpr int64_t kCostPerId = 60;  // ns of table work: makes the pool take even single units apart

// How many threads the framework gives this op.
int NumThreads(::tensorflow::OpKernelContext* ctx);

// Runs work(0) to work(num_units - 1) on the framework's pool; a unit takes about `cost_per_unit` ns. Returns the first
// error thrown.
absl::Status RunUnits(::tensorflow::OpKernelContext* ctx, int64_t num_units, int64_t cost_per_unit,
                      const std::function<void(int64_t unit)>& work);

// Runs work(begin, end) for the ranges of [0, size), each but the last of `size_of_unit`.
absl::Status RunRanges(::tensorflow::OpKernelContext* ctx, int64_t size, int64_t size_of_unit, int64_t cost_per_unit,
                       const std::function<void(int64_t begin, int64_t end)>& work);

}  // namespace monolith

#endif  // CC_KERNELS_RUN_UNITS_H_
