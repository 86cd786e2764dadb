// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_op.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/kernels/record_variant.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::Variant;

absl::Status NamingOp(const std::string& op, const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat(op, ": ", status.message()));
}

data::MessageType VariantTypeOf(OpKernelConstruction* ctx, const char* name) {
  data::MessageType type = data::MessageType::kExample;
  const auto text = Attr<std::string>(ctx, name);
  const absl::Status status =
      NamingOp(absl::StrCat(ctx->def().op(), ": ", name), ToStatus([&] { type = data::TypeNamed(text); }));
  if (!status.ok()) ctx->CtxFailure(status);
  return type;
}

absl::Status RecordBytes(const std::string& op, data::MessageType type, const Tensor& input, int64_t i,
                         const std::string** bytes) {
  const Variant& variant = input.flat<Variant>()(i);
  *bytes = BytesOfVariant(type, variant);
  if (*bytes != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": element ", i, " of the input holds ",
                                                 variant.is_empty() ? "nothing" : variant.TypeName(), ", not ",
                                                 data::NameOf(type), "; say by variant_type what the records are."));
}

absl::Status ReadOperands(OpKernelConstruction* ctx, data::ValueKind kind, data::Operands* operands) {
  operands->floats = Attr<std::vector<float>>(ctx, "float_operand");
  operands->ints = Attr<std::vector<int64_t>>(ctx, "int_operand");
  operands->texts = Attr<std::vector<std::string>>(ctx, "string_operand");
  const auto path = Attr<std::string>(ctx, "operand_filepath");
  TF_RETURN_IF_ERROR(ctx->status());
  if (path.empty()) return absl::OkStatus();  // a test without operands is refused where it is made
  const std::string& name = ctx->def().op();
  const auto op = Attr<std::string>(ctx, "op");
  if (!operands->floats.empty() || !operands->ints.empty() || !operands->texts.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": operand_filepath is '", path, "' and operands are given too; give one of them."));
  }
  if (op != "in" && op != "not-in") {
    return absl::InvalidArgumentError(absl::StrCat(name, ": operand_filepath is '", path, "', but op is '", op,
                                                   "'; a file gives a set, for in and not-in."));
  }
  std::string content;
  TF_RETURN_IF_ERROR(NamingOp(name, ::tensorflow::ReadFileToString(ctx->env(), path, &content)));
  const absl::Status read = ToStatus([&] { *operands = data::ReadFilterValues(content, kind); });
  return NamingOp(absl::StrCat(name, ": operand_filepath is '", path, "'"), read);
}

RecordOp::RecordOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
  if (ctx->HasAttr("variant_type")) {
    const auto name = Attr<std::string>(ctx, "variant_type");
    OP_REQUIRES_OK(
        ctx, NamingOp(absl::StrCat(type_string(), ": variant_type"), ToStatus([&] { type_ = data::TypeNamed(name); })));
  }
  if (ctx->HasAttr("seed")) {
    uniform_ = std::make_unique<SeededUniform>(Attr<int64_t>(ctx, "seed"), Attr<int64_t>(ctx, "seed2"));
  }
}

void RecordFilterOp::Compute(OpKernelContext* ctx) {
  const Tensor& input = ctx->input(0);
  Tensor* kept;
  OP_REQUIRES_OK(ctx, ctx->allocate_output(0, input.shape(), &kept));
  auto keep = kept->flat<bool>();
  for (int64_t i = 0; i < input.NumElements(); ++i) {
    const std::string* record;
    OP_REQUIRES_OK(ctx, RecordBytes(type_string(), type(), input, i, &record));
    OP_REQUIRES_OK(ctx, NamingOp(type_string(), ToStatus([&] { keep(i) = filter_->Keep(*record, uniform()); })));
  }
}

void RecordChangeOp::Compute(OpKernelContext* ctx) {
  const Tensor& input = ctx->input(0);
  Tensor* output;
  OP_REQUIRES_OK(ctx, ctx->allocate_output(0, input.shape(), &output));
  const auto records = input.flat<Variant>();
  auto changed = output->flat<Variant>();
  for (int64_t i = 0; i < input.NumElements(); ++i) {
    const std::string* record;
    OP_REQUIRES_OK(ctx, RecordBytes(type_string(), type(), input, i, &record));
    std::string bytes;
    bool changes = false;
    OP_REQUIRES_OK(ctx,
                   NamingOp(type_string(), ToStatus([&] { changes = change_->Apply(*record, uniform(), &bytes); })));
    // A record that stays is shared: nobody changes one in place.
    changed(i) = changes ? VariantOfBytes(type(), std::move(bytes)) : records(i);
  }
}

}  // namespace monolith
