// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_SCALAR_INPUT_H_
#define CC_KERNELS_SCALAR_INPUT_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

// Reads an input that must be a scalar. Eager execution runs no shape function, and Tensor::scalar ends the process when
// the tensor has another number of elements, so every kernel reads its scalars through this.
template <typename T>
absl::Status ReadScalar(::tensorflow::OpKernelContext* ctx, int input, const char* name, T* value) {
  const ::tensorflow::Tensor& tensor = ctx->input(input);
  if (tensor.dims() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string(), ": ", name, " has shape ",
                                                   tensor.shape().DebugString(), "; pass a scalar."));
  }
  *value = tensor.scalar<T>()();
  return absl::OkStatus();
}

// The same for an input that is not a list, by its name.
template <typename T>
absl::Status ReadScalar(::tensorflow::OpKernelContext* ctx, const char* name, T* value) {
  int begin, end;
  TF_RETURN_IF_ERROR(ctx->op_kernel().InputRange(name, &begin, &end));
  return ReadScalar(ctx, begin, name, value);
}

}  // namespace monolith

#endif  // CC_KERNELS_SCALAR_INPUT_H_
