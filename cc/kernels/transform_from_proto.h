// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_TRANSFORM_FROM_PROTO_H_
#define CC_KERNELS_TRANSFORM_FROM_PROTO_H_

#include <memory>
#include <string>

#include "cc/data/message_check.h"
#include "cc/data/record_expansion.h"

namespace monolith {

// The chain in a serialized TransformConfig, for records of a type. `read_file` gives a file's content, or throws. Throws
// DataError (kInvalidArgument) where the bytes are no TransformConfig or a step of it cannot be.
std::unique_ptr<data::RecordExpansion> TransformFromProto(data::MessageType type, const std::string& config,
                                                          std::string (*read_file)(const std::string& path));

}  // namespace monolith

#endif  // CC_KERNELS_TRANSFORM_FROM_PROTO_H_
