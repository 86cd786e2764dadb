// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_LOOKED_UP_INPUT_H_
#define CC_KERNELS_LOOKED_UP_INPUT_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

// Reads an input that has the embeddings that `needed` floats of gradients were computed from; null where the op has no
// such input, or nothing in it.
inline absl::Status ReadLookedUp(::tensorflow::OpKernelContext* ctx, int input, int64_t needed, const float** floats) {
  *floats = nullptr;
  if (input >= ctx->num_inputs() || ctx->input(input).NumElements() == 0) return absl::OkStatus();
  const ::tensorflow::Tensor& tensor = ctx->input(input);
  if (tensor.NumElements() != needed) {
    return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string(), ": looked_up has ",
                                                   tensor.NumElements(), " floats, but the gradients have ", needed,
                                                   "; pass what the same ids were looked up as."));
  }
  *floats = tensor.flat<float>().data();
  return absl::OkStatus();
}

}  // namespace monolith

#endif  // CC_KERNELS_LOOKED_UP_INPUT_H_
