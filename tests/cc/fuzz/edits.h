// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CC_FUZZ_EDITS_H_
#define TESTS_CC_FUZZ_EDITS_H_

#include <string>

#include "tests/cc/fuzz/input_bytes.h"

namespace monolith {
namespace testing {

// Flips, cuts, stuffs, repeats or erases pieces of bytes, as the input says, while it lasts.
inline std::string Damaged(std::string bytes, InputBytes* in, int most_edits = 8) {
  for (int i = 0; i < most_edits && !in->Done(); ++i) {
    const size_t at = bytes.empty() ? 0 : in->Word() % bytes.size();
    const uint8_t how = in->Byte();
    if (how % 5 == 0 && !bytes.empty()) {
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << in->Below(8)));
    } else if (how % 5 == 1) {
      bytes.resize(at);
    } else if (how % 5 == 2) {
      bytes.insert(at, 1 + in->Below(12), static_cast<char>(in->Byte()));
    } else if (how % 5 == 3) {
      bytes.insert(at, bytes.substr(at / 2, in->Below(40)));
    } else if (!bytes.empty()) {
      bytes.erase(at, 1 + in->Below(12));
    }
  }
  return bytes;
}

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_FUZZ_EDITS_H_
