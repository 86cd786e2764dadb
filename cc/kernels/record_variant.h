// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_RECORD_VARIANT_H_
#define CC_KERNELS_RECORD_VARIANT_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/data/message_check.h"
#include "tensorflow/core/framework/variant.h"
#include "tensorflow/core/framework/variant_tensor_data.h"

namespace monolith {

// An element of a dataset: a serialized message that is known to be valid, shared by all copies of the element. In a tensor
// that leaves the process (data service, checkpoint, RPC) it is its bytes under the name of its type.
template <data::MessageType kType>
class RecordVariant {
 public:
  RecordVariant() : bytes_(std::make_shared<const std::string>()) {}
  explicit RecordVariant(std::string bytes) : bytes_(std::make_shared<const std::string>(std::move(bytes))) {}

  const std::string& bytes() const { return *bytes_; }

  std::string TypeName() const { return data::NameOf(kType); }
  std::string DebugString() const { return absl::StrCat(TypeName(), " of ", bytes_->size(), " bytes"); }
  void Encode(::tensorflow::VariantTensorData* encoded) const { encoded->set_metadata(*bytes_); }
  bool Decode(::tensorflow::VariantTensorData encoded) {
    std::string bytes;
    if (!encoded.get_metadata(&bytes) || !data::IsMessage(kType, bytes)) return false;
    bytes_ = std::make_shared<const std::string>(std::move(bytes));
    return true;
  }

 private:
  std::shared_ptr<const std::string> bytes_;
};

using InstanceVariant = RecordVariant<data::MessageType::kInstance>;
using ExampleVariant = RecordVariant<data::MessageType::kExample>;
using ExampleBatchVariant = RecordVariant<data::MessageType::kExampleBatch>;

// The bytes of a variant that holds a message of this type; null if it holds something else.
inline const std::string* BytesOfVariant(data::MessageType type, const ::tensorflow::Variant& variant) {
  if (type == data::MessageType::kInstance) {
    const auto* record = variant.get<InstanceVariant>();
    return record == nullptr ? nullptr : &record->bytes();
  }
  if (type == data::MessageType::kExampleBatch) {
    const auto* record = variant.get<ExampleBatchVariant>();
    return record == nullptr ? nullptr : &record->bytes();
  }
  const auto* record = variant.get<ExampleVariant>();
  return record == nullptr ? nullptr : &record->bytes();
}

inline ::tensorflow::Variant VariantOfBytes(data::MessageType type, std::string bytes) {
  if (type == data::MessageType::kInstance) return InstanceVariant(std::move(bytes));
  if (type == data::MessageType::kExampleBatch) return ExampleBatchVariant(std::move(bytes));
  return ExampleVariant(std::move(bytes));
}

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_VARIANT_H_
