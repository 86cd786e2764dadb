// SPDX-License-Identifier: Apache-2.0
// What the kernels of the distribution family share.
#ifndef MONOLITH_CC_KERNELS_DISTRIBUTION_UTIL_H_
#define MONOLITH_CC_KERNELS_DISTRIBUTION_UTIL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/distribution/span.h"
#include "tensorflow/core/framework/op_kernel.h"

// Fails the op with the sentence that a function of cc/distribution returned.
#define MONOLITH_OP_REQUIRES_NONE(CTX, EXPRESSION)                                                               \
  do {                                                                                                           \
    ::monolith::distribution::Error monolith_error = (EXPRESSION);                                               \
    OP_REQUIRES(                                                                                                 \
        CTX, !monolith_error.has_value(),                                                                        \
        ::tensorflow::monolith_kernels::BadInput((CTX)->op_kernel().type_string(), ": ", *monolith_error, ".")); \
  } while (false)

namespace tensorflow::monolith_kernels {

namespace dist = ::monolith::distribution;

// InvalidArgument with the parts put together.
template <typename... Parts>
absl::Status BadInput(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

template <typename T>
dist::Span<const T> AsSpan(const Tensor& t) {
  return {t.flat<T>().data(), t.NumElements()};
}

inline dist::Error CheckRank(const char* name, const Tensor& t, int rank) {
  if (t.dims() == rank) return std::nullopt;
  return std::string(name) + " has shape " + t.shape().DebugString() + " but must have rank " + std::to_string(rank);
}

// Reads a list(int) attribute; the widths of tables or columns.
inline std::vector<int64_t> ReadInts(OpKernelConstruction* ctx, const char* name) {
  std::vector<int64_t> values;
  ctx->SetStatus(ctx->GetAttr(name, &values));
  return values;
}

}  // namespace tensorflow::monolith_kernels

#endif  // MONOLITH_CC_KERNELS_DISTRIBUTION_UTIL_H_
