// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/locked_variables.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace monolith {
namespace {

using ::tensorflow::Tensor;
using ::tensorflow::Var;

absl::Status NotInitialized(const std::string& what) {
  return absl::FailedPreconditionError(absl::StrCat(what, " is not initialized; run its initializer first."));
}

absl::Status CheckVariable(const Var& variable, const Tensor& tensor, const std::string& what,
                           const ::tensorflow::TensorShape& like) {
  if (!variable.is_initialized || !tensor.IsInitialized()) {
    return NotInitialized(what);
  }
  if (tensor.dtype() != ::tensorflow::DT_FLOAT) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is ", ::tensorflow::DataTypeString(tensor.dtype()), "; it must be float."));
  }
  if (tensor.shape() != like) {
    return absl::InvalidArgumentError(absl::StrCat(what, " is ", tensor.shape().DebugString(), " but grad is ",
                                                   like.DebugString(), "; their shapes must be equal."));
  }
  return absl::OkStatus();
}

// Gives the variable a buffer of its own if a reader holds the one that it has.
absl::Status MakeSoleOwner(::tensorflow::OpKernelContext* ctx, Var* variable) {
  Tensor* tensor = variable->tensor();
  if (tensor->RefCountIsOne()) return absl::OkStatus();
  Tensor copy;
  ::tensorflow::AllocatorAttributes attributes;
  attributes.set_gpu_compatible(true);
  attributes.set_nic_compatible(true);
  TF_RETURN_IF_ERROR(ctx->allocate_temp(tensor->dtype(), tensor->shape(), &copy, attributes));
  std::memcpy(copy.data(), tensor->data(), tensor->TotalBytes());
  *tensor = copy;
  return absl::OkStatus();
}

}  // namespace

LockedVariables::~LockedVariables() {
  for (Var* variable : locked_) variable->mu()->unlock();
}

absl::Status LockedVariables::Lock(::tensorflow::OpKernelContext* ctx, const std::vector<const char*>& names,
                                   const ::tensorflow::TensorShape& like) {
  const std::string& op = ctx->op_kernel().type_string();
  std::vector<Var*> ordered;
  variables_.resize(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const absl::Status found = ::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, i), &variables_[i]);
    if (absl::IsNotFound(found)) return NotInitialized(absl::StrCat(op, ": variable ", names[i]));
    TF_RETURN_IF_ERROR(found);
    ordered.push_back(variables_[i].get());
  }
  std::sort(ordered.begin(), ordered.end(), [](Var* a, Var* b) { return a->mu() < b->mu(); });
  if (std::adjacent_find(ordered.begin(), ordered.end()) != ordered.end()) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": one variable is given twice; every slot needs its own."));
  }
  for (Var* variable : ordered) variable->mu()->lock();
  locked_ = std::move(ordered);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string what = absl::StrCat(op, ": variable ", names[i]);
    TF_RETURN_IF_ERROR(CheckVariable(*variables_[i], *variables_[i]->tensor(), what, like));
    TF_RETURN_IF_ERROR(MakeSoleOwner(ctx, variables_[i].get()));
  }
  return absl::OkStatus();
}

}  // namespace monolith
