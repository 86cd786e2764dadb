// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CC_FUZZ_INPUT_BYTES_H_
#define TESTS_CC_FUZZ_INPUT_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace monolith {
namespace testing {

// A table and its oracle do not agree. Escapes from a driver: a fuzzer takes it for a crash, a test prints it.
class Disagreement : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

inline void Require(bool holds, const std::string& what) {
  if (!holds) throw Disagreement(what);
}

// The bytes that drive a driver: numbers while they last, then zeros.
class InputBytes {
 public:
  InputBytes(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool Done() const { return at_ == end_; }
  uint8_t Byte() { return Done() ? 0 : *at_++; }
  int Below(int n) { return Byte() % n; }
  uint16_t Word() { return static_cast<uint16_t>(Byte() << 8 | Byte()); }
  std::string Rest() {
    std::string rest(at_, end_);
    at_ = end_;
    return rest;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_FUZZ_INPUT_BYTES_H_
