// SPDX-License-Identifier: Apache-2.0
#include "cc/data/codec_library.h"

#include <dlfcn.h>

#include <string>

#include "cc/data/data_error.h"

// Weak: null where the library that this is linked with does not export them.
extern "C" {
__attribute__((weak)) int inflateInit2_(monolith::data::ZStream* stream, int window_bits, const char* version,
                                        int stream_size);
__attribute__((weak)) int inflate(monolith::data::ZStream* stream, int flush);
__attribute__((weak)) int inflateReset(monolith::data::ZStream* stream);
__attribute__((weak)) int inflateEnd(monolith::data::ZStream* stream);
__attribute__((weak)) void* ZSTD_createDStream();
__attribute__((weak)) size_t ZSTD_freeDStream(void* stream);
__attribute__((weak)) size_t ZSTD_decompressStream(void* stream, monolith::data::ZstdOutput* out,
                                                   monolith::data::ZstdInput* in);
__attribute__((weak)) unsigned ZSTD_isError(size_t code);
__attribute__((weak)) const char* ZSTD_getErrorName(size_t code);
}

namespace monolith {
namespace data {
namespace {

// A shared library of the system; stays loaded.
class SystemLibrary {
 public:
  explicit SystemLibrary(const char* file) : file_(file), handle_(dlopen(file, RTLD_NOW | RTLD_LOCAL)) {}

  template <typename Function>
  void Find(const char* name, Function* function) const {
    void* found = handle_ == nullptr ? nullptr : dlsym(handle_, name);
    if (found == nullptr) {
      throw DataError(DataError::Code::kUnimplemented,
                      std::string("neither TensorFlow's library nor the system has ") + name + " (" + file_ +
                          "); install it, or write the data with another compression.");
    }
    *function = reinterpret_cast<Function>(found);
  }

 private:
  const char* const file_;
  void* const handle_;
};

ZlibFunctions FindZlib() {
  ZlibFunctions found{inflateInit2_, inflate, inflateReset, inflateEnd};
  if (found.inflate_init2 && found.inflate && found.inflate_reset && found.inflate_end) return found;
  const SystemLibrary library("libz.so.1");
  library.Find("inflateInit2_", &found.inflate_init2);
  library.Find("inflate", &found.inflate);
  library.Find("inflateReset", &found.inflate_reset);
  library.Find("inflateEnd", &found.inflate_end);
  return found;
}

ZstdFunctions FindZstd() {
  ZstdFunctions found{ZSTD_createDStream, ZSTD_freeDStream, ZSTD_decompressStream, ZSTD_isError, ZSTD_getErrorName};
  if (found.create && found.free && found.decompress && found.is_error && found.error_name) return found;
  const SystemLibrary library("libzstd.so.1");
  library.Find("ZSTD_createDStream", &found.create);
  library.Find("ZSTD_freeDStream", &found.free);
  library.Find("ZSTD_decompressStream", &found.decompress);
  library.Find("ZSTD_isError", &found.is_error);
  library.Find("ZSTD_getErrorName", &found.error_name);
  return found;
}

}  // namespace

const ZlibFunctions& Zlib() {
  static const ZlibFunctions functions = FindZlib();
  return functions;
}

const ZstdFunctions& Zstd() {
  static const ZstdFunctions functions = FindZstd();
  return functions;
}

}  // namespace data
}  // namespace monolith
