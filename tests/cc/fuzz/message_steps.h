// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CC_FUZZ_MESSAGE_STEPS_H_
#define TESTS_CC_FUZZ_MESSAGE_STEPS_H_

#include <string>

#include "cc/data/message_check.h"

namespace monolith {
namespace testing {

// Filters and changes of a valid record: what they read is what the oracle's objects hold, what they write is a valid record
// with nothing else changed. Throws a Disagreement.
void CheckSteps(data::MessageType type, const std::string& record);

// Bytes of any kind as a tf.train.Example and as FilterValues: refused, or read into something valid.
void CheckReaders(const std::string& bytes);

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_FUZZ_MESSAGE_STEPS_H_
