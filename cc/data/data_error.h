// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_DATA_ERROR_H_
#define CC_DATA_DATA_ERROR_H_

#include <stdexcept>
#include <string>

namespace monolith {

// Training data, or a request for it, that cannot be used. The message names the thing, the value and the remedy.
class DataError : public std::runtime_error {
 public:
  enum class Code { kInvalidArgument, kFailedPrecondition, kDataLoss, kNotFound, kUnimplemented, kInternal };

  DataError(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Code code() const { return code_; }

 private:
  Code code_;
};

}  // namespace monolith

#endif  // CC_DATA_DATA_ERROR_H_
