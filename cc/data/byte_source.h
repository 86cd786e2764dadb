// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_BYTE_SOURCE_H_
#define CC_DATA_BYTE_SOURCE_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

namespace monolith {
namespace data {

// Bytes in their order: a file, stdin, or what a decompressor makes of another source. Throws DataError.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `out` with up to `n` bytes, n > 0; returns how many. 0 only at the end.
  virtual size_t Read(char* out, size_t n) = 0;
  // For messages: the path, or "stdin".
  virtual const std::string& name() const = 0;
};

class MemorySource : public ByteSource {
 public:
  // `piece`: most bytes that one call hands out.
  explicit MemorySource(std::string bytes, std::string name = "memory", size_t piece = ~size_t{0})
      : bytes_(std::move(bytes)), name_(std::move(name)), piece_(piece) {}

  size_t Read(char* out, size_t n) override {
    n = std::min({n, piece_, bytes_.size() - at_});
    std::memcpy(out, bytes_.data() + at_, n);
    at_ += n;
    return n;
  }
  const std::string& name() const override { return name_; }

 private:
  const std::string bytes_, name_;
  const size_t piece_;
  size_t at_ = 0;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_BYTE_SOURCE_H_
