// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_MESSAGE_CHECK_H_
#define CC_DATA_MESSAGE_CHECK_H_

#include <string>
#include <string_view>

namespace monolith {
namespace data {

enum class MessageType { kInstance = 1, kExampleBatch = 2, kExample = 3, kPlaintext = 4 };

// "Instance", "ExampleBatch", "Example", "plaintext".
const char* NameOf(MessageType type);

// "instance", "example", "examplebatch" or "example_batch", "plaintext"; throws DataError for another name.
MessageType TypeNamed(const std::string& name);

// True if the protobuf library would parse the bytes as a message of this type: wire types, lengths, packed fields, UTF-8 of
// proto3's strings, all the way down.
bool IsMessage(MessageType type, std::string_view bytes);

// The same for a LineId.
bool IsLineId(std::string_view bytes);

// Throws DataError (kFailedPrecondition) "Failed to parse the Example." where IsMessage is false.
void CheckMessage(MessageType type, std::string_view bytes);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_MESSAGE_CHECK_H_
