// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_LOCKED_VARIABLES_H_
#define CC_KERNELS_LOCKED_VARIABLES_H_

#include <vector>

#include "absl/status/status.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_var.h"

namespace monolith {

// The float variables behind the first inputs of an op, locked for writing until this object goes.
class LockedVariables {
 public:
  LockedVariables() = default;
  ~LockedVariables();
  LockedVariables(const LockedVariables&) = delete;
  LockedVariables& operator=(const LockedVariables&) = delete;

  // Locks the variables of inputs 0, 1, ..., named `names` in messages, in an order that all ops share, and makes them
  // sole owners of their buffers: who has read a variable before keeps what he read. FailedPrecondition if one is not
  // initialized, InvalidArgument if one is given twice, is not of floats, or has another shape than `like`.
  absl::Status Lock(::tensorflow::OpKernelContext* ctx, const std::vector<const char*>& names,
                    const ::tensorflow::TensorShape& like);

  float* data(int input) { return variables_[input]->tensor()->flat<float>().data(); }

 private:
  std::vector<::tensorflow::core::RefCountPtr<::tensorflow::Var>> variables_;
  std::vector<::tensorflow::Var*> locked_;
};

}  // namespace monolith

#endif  // CC_KERNELS_LOCKED_VARIABLES_H_
