// SPDX-License-Identifier: Apache-2.0
// Checks of dense inputs that the kernels of layers share. Eager execution runs no shape function.
#ifndef CC_KERNELS_LAYER_INPUTS_H_
#define CC_KERNELS_LAYER_INPUTS_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

// InvalidArgument that starts with the name of the op.
template <typename... Parts>
absl::Status BadLayerInput(::tensorflow::OpKernelContext* ctx, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string(), ": ", parts...));
}

inline absl::Status CheckMatrix(::tensorflow::OpKernelContext* ctx, int input, const char* name) {
  const auto& shape = ctx->input(input).shape();
  if (shape.dims() == 2) return absl::OkStatus();
  return BadLayerInput(ctx, name, " has shape ", shape.DebugString(), "; pass a matrix, one example a row.");
}

inline absl::Status CheckShape(::tensorflow::OpKernelContext* ctx, int input, const char* name, int64_t rows,
                               int64_t columns) {
  const auto& shape = ctx->input(input).shape();
  if (shape == ::tensorflow::TensorShape({rows, columns})) return absl::OkStatus();
  return BadLayerInput(ctx, name, " has shape ", shape.DebugString(), "; it must be [", rows, ",", columns, "].");
}

}  // namespace monolith

#endif  // CC_KERNELS_LAYER_INPUTS_H_
