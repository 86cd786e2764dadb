// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_PARTIAL_SUMS_H_
#define CC_KERNELS_PARTIAL_SUMS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {

// What products of small matrices take, in ns.
int64_t CostOfProducts(int64_t rows, int64_t products_a_row);

// Runs work(0, partial) to work(num_chunks - 1, partial) on the framework's pool, each of about `cost` ns, where each
// fills a partial sum of `size` floats; then adds these up into `total`, in order.
absl::Status RunPartialSums(::tensorflow::OpKernelContext* ctx, int64_t num_chunks, int64_t cost, int64_t size,
                            float* total, const std::function<void(int64_t chunk, float* partial)>& work);

}  // namespace monolith

#endif  // CC_KERNELS_PARTIAL_SUMS_H_
