// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_LEARNING_RATES_H_
#define CC_KERNELS_LEARNING_RATES_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/hash_table/multi_table.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {

// Reads an input that must have one learning rate for every slice of every table, in table order.
inline absl::Status ReadLearningRates(::tensorflow::OpKernelContext* ctx, int input, const MultiTable& tables,
                                      const float** rates) {
  const auto flat = ctx->input(input).flat<float>();
  if (flat.size() != tables.total_slices()) {
    return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string(), ": learning_rate has ", flat.size(),
                                                   " elements, but the tables have ", tables.total_slices(),
                                                   " slices; pass one rate for each."));
  }
  *rates = flat.data();
  return absl::OkStatus();
}

}  // namespace monolith

#endif  // CC_KERNELS_LEARNING_RATES_H_
