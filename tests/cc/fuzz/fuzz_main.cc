// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry point; build_tools/fuzz.py says which driver stands behind it.
#include "tests/cc/fuzz/drivers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return monolith::testing::FUZZ_DRIVER(data, size);
}
