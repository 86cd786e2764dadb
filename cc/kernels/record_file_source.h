// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_RECORD_FILE_SOURCE_H_
#define CC_KERNELS_RECORD_FILE_SOURCE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "cc/data/byte_source.h"
#include "cc/data/decompress.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// The decompressed bytes of a file on any of TensorFlow's file systems; of stdin, as they are, if `path` is empty.
absl::Status OpenRecordFile(::tensorflow::Env* env, const std::string& path, data::Compression compression,
                            std::unique_ptr<data::ByteSource>* source);

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_FILE_SOURCE_H_
