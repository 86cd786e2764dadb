// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_STATUS_UTIL_H_
#define CC_KERNELS_STATUS_UTIL_H_

#include <new>
#include <utility>

#include "absl/status/status.h"
#include "cc/data/data_error.h"
#include "cc/hash_table/table_config.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

inline absl::StatusCode StatusCodeOf(DataError::Code code) {
  switch (code) {
    case DataError::Code::kInvalidArgument:
      return absl::StatusCode::kInvalidArgument;
    case DataError::Code::kFailedPrecondition:
      return absl::StatusCode::kFailedPrecondition;
    case DataError::Code::kDataLoss:
      return absl::StatusCode::kDataLoss;
    case DataError::Code::kNotFound:
      return absl::StatusCode::kNotFound;
    case DataError::Code::kUnimplemented:
      return absl::StatusCode::kUnimplemented;
    case DataError::Code::kInternal:
      break;
  }
  return absl::StatusCode::kInternal;
}

// Runs `body`, which may throw as the plain libraries do, and returns what it came to.
template <typename Body>
absl::Status ToStatus(Body body) {
  try {
    body();
    return absl::OkStatus();
  } catch (const TableError& error) {
    return absl::InvalidArgumentError(error.what());
  } catch (const DataError& error) {
    return absl::Status(StatusCodeOf(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("a table has run out of memory; free some, or spread it over more servers.");
  }
}

}  // namespace monolith

#endif  // CC_KERNELS_STATUS_UTIL_H_
