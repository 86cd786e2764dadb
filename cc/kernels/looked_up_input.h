// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_LOOKED_UP_INPUT_H_
#define CC_KERNELS_LOOKED_UP_INPUT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

// The input list `looked_up` of an op that takes optimizer steps: the embeddings that gradients were computed from.
class LookedUpInput {
 public:
  // `most`: how many tensors it may have unless it is empty.
  absl::Status Read(::tensorflow::OpKernelContext* ctx, int most) {
    op_ = ctx->op_kernel().type_string();
    TF_RETURN_IF_ERROR(ctx->input_list("looked_up", &list_));
    if (list_.size() == 0 || list_.size() == most) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(op_, ": looked_up has ", list_.size(), " tensors; pass none or ", most, "."));
  }

  // The floats of tensor `i`, or null where it is not given or empty.
  absl::Status Floats(int i, int64_t needed, const float** floats) const {
    *floats = nullptr;
    if (list_.size() == 0 || list_[i].NumElements() == 0) return absl::OkStatus();
    if (list_[i].NumElements() != needed) {
      return absl::InvalidArgumentError(absl::StrCat(op_, ": looked_up ", i, " has ", list_[i].NumElements(),
                                                     " floats, but the gradients have ", needed,
                                                     "; pass what the same ids were looked up as."));
    }
    *floats = list_[i].flat<float>().data();
    return absl::OkStatus();
  }

 private:
  ::tensorflow::OpInputList list_;
  std::string op_;
};

}  // namespace monolith

#endif  // CC_KERNELS_LOOKED_UP_INPUT_H_
