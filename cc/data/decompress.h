// SPDX-License-Identifier: Apache-2.0
// Byte sources that decompress another one. Compressed data that breaks off or is damaged throws DataError (kDataLoss).
#ifndef CC_DATA_DECOMPRESS_H_
#define CC_DATA_DECOMPRESS_H_

#include <functional>
#include <memory>
#include <string_view>

#include "cc/data/byte_source.h"

namespace monolith {
namespace data {

// The numbers are those of the Python enum CompressType.
enum class Compression { kUnset = 0, kNone = 1, kSnappy = 2, kZstd = 3, kZlib = 4, kGzip = 5 };

// Decodes one raw Snappy chunk: calls `size` with its length before, `bytes` being where that many go. Returns false if the
// chunk is damaged. The library has no Snappy of its own; kernels pass TensorFlow's.
struct SnappyCodec {
  std::function<bool(std::string_view chunk, size_t* size)> uncompressed_size;
  std::function<bool(std::string_view chunk, char* bytes)> uncompress;
};

// Zlib or gzip streams; several may follow one another.
std::unique_ptr<ByteSource> NewZlibSource(std::unique_ptr<ByteSource> source, bool gzip);
// Zstandard frames; several may follow one another.
std::unique_ptr<ByteSource> NewZstdSource(std::unique_ptr<ByteSource> source);
// Blocks as Hadoop writes them: a big-endian u32 with the block's uncompressed length, then chunks, each a big-endian u32
// with its length and the raw Snappy chunk, until the block is full.
std::unique_ptr<ByteSource> NewSnappySource(std::unique_ptr<ByteSource> source, SnappyCodec codec);

// The source itself where nothing is compressed. Throws for a number that is no compression.
std::unique_ptr<ByteSource> Decompressed(std::unique_ptr<ByteSource> source, Compression compression,
                                         const SnappyCodec& snappy);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_DECOMPRESS_H_
