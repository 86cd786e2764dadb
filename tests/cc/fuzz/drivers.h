// SPDX-License-Identifier: Apache-2.0
// What a fuzzer calls with bytes of its choice, and fuzz_test.cc with those that are kept. Each returns 0, or throws a
// Disagreement.
#ifndef TESTS_CC_FUZZ_DRIVERS_H_
#define TESTS_CC_FUZZ_DRIVERS_H_

#include <cstddef>
#include <cstdint>

namespace monolith {
namespace testing {

// The bytes are operations on one table of any kind, each of which a map of vectors does as well.
int RunTableOps(const uint8_t* data, size_t size);

// The bytes are a saved entry, or damage to valid ones: it is refused, with the table as it was, or restored as it says.
int RunEntryDump(const uint8_t* data, size_t size);

// The bytes are the file of a saved table, or damage to a valid one: it is refused, with the table as it was, or restored as
// a plain walk over it finds.
int RunTableFile(const uint8_t* data, size_t size);

// The bytes are a stream of records, or damage to a valid one: what is read, or refused, is what a plain walk finds.
int RunRecords(const uint8_t* data, size_t size);

// The bytes are an Instance, an Example or an ExampleBatch, or damage to one: its columns are those of a decoder that shares
// no code, and what protobuf refuses is refused.
int RunMessages(const uint8_t* data, size_t size);

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_FUZZ_DRIVERS_H_
