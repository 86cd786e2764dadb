// SPDX-License-Identifier: Apache-2.0
// Ops on tensors of records, of any shape, one record at a time: filters say keep or drop, changes give new records.
#ifndef CC_KERNELS_RECORD_OP_H_
#define CC_KERNELS_RECORD_OP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cc/data/comparison.h"
#include "cc/data/message_check.h"
#include "cc/data/record_step.h"
#include "cc/kernels/seeded_uniform.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/variant.h"

namespace monolith {

// An attribute; the op's construction fails where it cannot be read.
template <typename T>
T Attr(::tensorflow::OpKernelConstruction* ctx, const char* name) {
  T value{};
  const absl::Status status = ctx->GetAttr(name, &value);
  if (!status.ok()) ctx->CtxFailure(status);
  return value;
}

// The same status with the op's name before its message.
absl::Status NamingOp(const std::string& op, const absl::Status& status);

// Runs what makes an op's parts; what it throws is the construction's failure.
template <typename Make>
void ConstructParts(::tensorflow::OpKernelConstruction* ctx, Make make) {
  if (!ctx->status().ok()) return;
  const absl::Status status = NamingOp(ctx->def().op(), ToStatus(make));
  if (!status.ok()) ctx->CtxFailure(status);
}

// What attribute variant_type says; the op's construction fails where it names no type.
data::MessageType VariantTypeOf(::tensorflow::OpKernelConstruction* ctx, const char* name = "variant_type");

// The record in element `i` of an op's input, or InvalidArgument that says what is there instead.
absl::Status RecordBytes(const std::string& op, data::MessageType type, const ::tensorflow::Tensor& input, int64_t i,
                         const std::string** bytes);

// What attributes float_operand, int_operand, string_operand and operand_filepath give: exactly one of operands and a file,
// which only `in` and `not-in` read.
absl::Status ReadOperands(::tensorflow::OpKernelConstruction* ctx, data::ValueKind kind, data::Operands* operands);

class RecordOp : public ::tensorflow::OpKernel {
 protected:
  // Attributes: variant_type where the op has it, else Example; seed and seed2 where it has them.
  explicit RecordOp(::tensorflow::OpKernelConstruction* ctx);

  data::MessageType type() const { return type_; }
  data::UniformSource* uniform() { return uniform_.get(); }

 private:
  data::MessageType type_ = data::MessageType::kExample;
  std::unique_ptr<SeededUniform> uniform_;
};

class RecordFilterOp : public RecordOp {
 public:
  void Compute(::tensorflow::OpKernelContext* ctx) override;

 protected:
  using RecordOp::RecordOp;
  std::unique_ptr<data::RecordFilter> filter_;
};

class RecordChangeOp : public RecordOp {
 public:
  void Compute(::tensorflow::OpKernelContext* ctx) override;

 protected:
  using RecordOp::RecordOp;
  std::unique_ptr<data::RecordChange> change_;
};

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_OP_H_
