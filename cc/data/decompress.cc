// SPDX-License-Identifier: Apache-2.0
#include "cc/data/decompress.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cc/data/codec_library.h"
#include "cc/data/data_error.h"

namespace monolith {
namespace data {
namespace {

constexpr size_t kInputBytes = size_t{256} << 10;
constexpr int kStreamEnd = 1, kOk = 0, kBufferError = -5;  // zlib's Z_STREAM_END, Z_OK, Z_BUF_ERROR

[[noreturn]] void ThrowDamaged(const std::string& name, const char* format, const std::string& what) {
  throw DataError(DataError::Code::kDataLoss, name + ": " + what + "; the file is damaged or was not written as " +
                                                  format + " (see compression_type).");
}

// What decompressors share: compressed bytes, a piece at a time.
class Decompressor : public ByteSource {
 public:
  explicit Decompressor(std::unique_ptr<ByteSource> source) : source_(std::move(source)), input_(kInputBytes) {}
  const std::string& name() const override { return source_->name(); }

 protected:
  // Compressed bytes that were not used yet; empty only at the end.
  std::string_view Input() {
    if (at_ == filled_) {
      at_ = 0;
      filled_ = source_->Read(input_.data(), input_.size());
    }
    return std::string_view(input_.data() + at_, filled_ - at_);
  }
  void Used(size_t n) { at_ += n; }

  // Fills `out`; returns false at the end of the source, if it is reached before the first byte.
  bool Exactly(char* out, size_t n, const char* format) {
    for (size_t got = 0; got < n;) {
      const std::string_view input = Input();
      if (input.empty() && got == 0) return false;
      if (input.empty()) ThrowDamaged(name(), format, "the compressed data breaks off");
      const size_t part = std::min(n - got, input.size());
      std::copy_n(input.data(), part, out + got);
      got += part;
      Used(part);
    }
    return true;
  }

 private:
  const std::unique_ptr<ByteSource> source_;
  std::vector<char> input_;
  size_t at_ = 0, filled_ = 0;
};

class ZlibSource : public Decompressor {
 public:
  ZlibSource(std::unique_ptr<ByteSource> source, bool gzip)
      : Decompressor(std::move(source)), format_(gzip ? "gzip" : "zlib") {
    constexpr int kWindowBits = 15, kGzip = 16;
    if (Zlib().inflate_init2(&stream_, kWindowBits + (gzip ? kGzip : 0), "1", sizeof(stream_)) != kOk) {
      throw DataError(DataError::Code::kInternal, name() + ": zlib cannot begin; it may be out of memory.");
    }
  }
  ~ZlibSource() override { Zlib().inflate_end(&stream_); }

  size_t Read(char* out, size_t n) override {
    n = std::min<size_t>(n, std::numeric_limits<unsigned int>::max());
    stream_.next_out = reinterpret_cast<unsigned char*>(out);
    stream_.avail_out = static_cast<unsigned int>(n);
    while (stream_.avail_out == n) {
      const std::string_view input = Input();
      if (input.empty() && !inside_) return 0;
      if (input.empty()) ThrowDamaged(name(), format_, "the compressed data breaks off");
      Step(input);
    }
    return n - stream_.avail_out;
  }

 private:
  void Step(std::string_view input) {
    inside_ = true;
    stream_.next_in = reinterpret_cast<const unsigned char*>(input.data());
    stream_.avail_in = static_cast<unsigned int>(input.size());
    const int result = Zlib().inflate(&stream_, 0);
    Used(input.size() - stream_.avail_in);
    if (result == kStreamEnd) {
      inside_ = false;
      Zlib().inflate_reset(&stream_);
    } else if (result != kOk && result != kBufferError) {
      ThrowDamaged(name(), format_, stream_.msg == nullptr ? "inflate fails" : stream_.msg);
    }
  }

  const char* const format_;
  ZStream stream_;
  bool inside_ = false;  // of a stream
};

class ZstdSource : public Decompressor {
 public:
  explicit ZstdSource(std::unique_ptr<ByteSource> source)
      : Decompressor(std::move(source)), zstd_(Zstd()), stream_(zstd_.create()) {
    if (stream_ == nullptr) {
      throw DataError(DataError::Code::kInternal, name() + ": Zstandard cannot begin; it may be out of memory.");
    }
  }
  ~ZstdSource() override { zstd_.free(stream_); }

  size_t Read(char* out, size_t n) override {
    ZstdOutput output{out, n, 0};
    while (output.at == 0) {
      const std::string_view bytes = Input();
      if (bytes.empty() && !inside_) return 0;
      ZstdInput input{bytes.data(), bytes.size(), 0};
      const size_t result = zstd_.decompress(stream_, &output, &input);
      Used(input.at);
      if (zstd_.is_error(result)) ThrowDamaged(name(), "Zstandard", zstd_.error_name(result));
      inside_ = result != 0;
      // With nothing left to read, what the decoder still holds comes out; then the frame is cut.
      if (bytes.empty() && output.at == 0 && inside_)
        ThrowDamaged(name(), "Zstandard", "the compressed data breaks off");
    }
    return output.at;
  }

 private:
  const ZstdFunctions& zstd_;
  void* const stream_;
  bool inside_ = false;  // of a frame
};

class SnappySource : public Decompressor {
 public:
  SnappySource(std::unique_ptr<ByteSource> source, SnappyCodec codec)
      : Decompressor(std::move(source)), codec_(std::move(codec)) {}

  size_t Read(char* out, size_t n) override {
    while (at_ == chunk_.size()) {
      if (!NextChunk()) return 0;
    }
    n = std::min(n, chunk_.size() - at_);
    std::copy_n(chunk_.data() + at_, n, out);
    at_ += n;
    return n;
  }

 private:
  static constexpr uint32_t kLargestChunk = 1u << 30;

  bool NextChunk() {
    uint32_t size;
    while (left_ == 0) {
      if (!Length(&size)) return false;
      left_ = size;
    }
    if (!Length(&size)) ThrowDamaged(name(), "Snappy", "a block breaks off");
    if (size > kLargestChunk) ThrowDamaged(name(), "Snappy", "a chunk claims " + std::to_string(size) + " bytes");
    // Grows with what is there, so that a damaged length takes no memory.
    compressed_.clear();
    while (compressed_.size() < size) {
      const std::string_view input = Input();
      if (input.empty()) ThrowDamaged(name(), "Snappy", "a chunk breaks off");
      const size_t part = std::min<size_t>(size - compressed_.size(), input.size());
      compressed_.append(input.substr(0, part));
      Used(part);
    }
    Uncompress();
    return true;
  }

  void Uncompress() {
    size_t size;
    // Snappy makes at most 64 bytes of three.
    const bool sane = codec_.uncompressed_size(compressed_, &size) && size <= left_ && size / 32 <= compressed_.size();
    if (!sane) ThrowDamaged(name(), "Snappy", "a chunk has an impossible length");
    chunk_.resize(size);
    at_ = 0;
    if (!codec_.uncompress(compressed_, chunk_.data())) ThrowDamaged(name(), "Snappy", "a chunk cannot be decoded");
    left_ -= static_cast<uint32_t>(size);
  }

  bool Length(uint32_t* length) {
    unsigned char bytes[4];
    if (!Exactly(reinterpret_cast<char*>(bytes), sizeof(bytes), "Snappy")) return false;
    *length = static_cast<uint32_t>(bytes[0]) << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
    return true;
  }

  const SnappyCodec codec_;
  std::string compressed_, chunk_;
  size_t at_ = 0;      // in chunk_
  uint32_t left_ = 0;  // uncompressed bytes that the block still lacks
};

}  // namespace

std::unique_ptr<ByteSource> NewZlibSource(std::unique_ptr<ByteSource> source, bool gzip) {
  return std::make_unique<ZlibSource>(std::move(source), gzip);
}

std::unique_ptr<ByteSource> NewZstdSource(std::unique_ptr<ByteSource> source) {
  return std::make_unique<ZstdSource>(std::move(source));
}

std::unique_ptr<ByteSource> NewSnappySource(std::unique_ptr<ByteSource> source, SnappyCodec codec) {
  return std::make_unique<SnappySource>(std::move(source), std::move(codec));
}

std::unique_ptr<ByteSource> Decompressed(std::unique_ptr<ByteSource> source, Compression compression,
                                         const SnappyCodec& snappy) {
  switch (compression) {
    case Compression::kUnset:
    case Compression::kNone:
      return source;
    case Compression::kSnappy:
      return NewSnappySource(std::move(source), snappy);
    case Compression::kZstd:
      return NewZstdSource(std::move(source));
    case Compression::kZlib:
    case Compression::kGzip:
      return NewZlibSource(std::move(source), compression == Compression::kGzip);
  }
  throw DataError(DataError::Code::kInvalidArgument, "compression_type " +
                                                         std::to_string(static_cast<int>(compression)) +
                                                         " is not known; use 0 to 5 (CompressType).");
}

}  // namespace data
}  // namespace monolith
