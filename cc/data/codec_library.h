// SPDX-License-Identifier: Apache-2.0
// The decoders of zlib and Zstandard, which this library does not compile: TensorFlow's framework library carries both and
// exports them. They are found by name, since their interface in C has not changed for ten years and no header has to be
// installed. Where they are not in the process, the system's shared libraries are asked.
#ifndef CC_DATA_CODEC_LIBRARY_H_
#define CC_DATA_CODEC_LIBRARY_H_

#include <cstddef>

namespace monolith {
namespace data {

// zlib.h's z_stream.
struct ZStream {
  const unsigned char* next_in = nullptr;
  unsigned int avail_in = 0;
  unsigned long total_in = 0;  // NOLINT(runtime/int): as zlib has it
  unsigned char* next_out = nullptr;
  unsigned int avail_out = 0;
  unsigned long total_out = 0;  // NOLINT(runtime/int)
  const char* msg = nullptr;
  void* state = nullptr;
  void* (*zalloc)(void*, unsigned int, unsigned int) = nullptr;
  void (*zfree)(void*, void*) = nullptr;
  void* opaque = nullptr;
  int data_type = 0;
  unsigned long adler = 0;     // NOLINT(runtime/int)
  unsigned long reserved = 0;  // NOLINT(runtime/int)
};

struct ZlibFunctions {
  int (*inflate_init2)(ZStream* stream, int window_bits, const char* version, int stream_size);
  int (*inflate)(ZStream* stream, int flush);
  int (*inflate_reset)(ZStream* stream);
  int (*inflate_end)(ZStream* stream);
};

// zstd.h's ZSTD_inBuffer and ZSTD_outBuffer.
struct ZstdInput {
  const void* data;
  size_t size, at;
};
struct ZstdOutput {
  void* data;
  size_t size, at;
};

struct ZstdFunctions {
  void* (*create)();
  size_t (*free)(void* stream);
  size_t (*decompress)(void* stream, ZstdOutput* out, ZstdInput* in);
  unsigned (*is_error)(size_t code);
  const char* (*error_name)(size_t code);
};

// Throw DataError (kUnimplemented) where neither the process nor the system has the library.
const ZlibFunctions& Zlib();
const ZstdFunctions& Zstd();

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_CODEC_LIBRARY_H_
