// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/kernels/deep_insight_client.h"
#include "cc/kernels/resource_use_op.h"
#include "cc/monitoring/deep_insight.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_op_kernel.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {
namespace {

using ::tensorflow::OpInputList;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;
using ::tensorflow::tstring;

constexpr char kUid[] = "uid";

class CreateDeepInsightClientOp : public ::tensorflow::ResourceOpKernel<DeepInsightClient> {
 public:
  explicit CreateDeepInsightClientOp(OpKernelConstruction* ctx) : ResourceOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("enable_metrics_counter", &options_.counts));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("is_fake", &options_.is_fake));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("filename", &options_.filename));
  }

 private:
  absl::Status CreateResource(DeepInsightClient** resource) override {
    ::tensorflow::core::RefCountPtr<DeepInsightClient> client(new DeepInsightClient(options_));
    TF_RETURN_IF_ERROR(client->Open(::tensorflow::Env::Default()));
    *resource = client.release();
    return absl::OkStatus();
  }

  DeepInsightClient::Options options_;
};

// What the two write ops share.
class WriteDeepInsightBase : public ResourceUseOp<DeepInsightClient> {
 public:
  explicit WriteDeepInsightBase(OpKernelConstruction* ctx) : ResourceUseOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("model_name", &model_name_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("sample_ratio", &sample_ratio_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("return_msgs", &returns_messages_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_zero_train_time", &uses_zero_train_time_));
    OP_REQUIRES(ctx, sample_ratio_ >= 0 && sample_ratio_ <= 1,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": sample_ratio is ", sample_ratio_,
                                                        "; it is a share of the users, from 0 to 1.")));
  }

 protected:
  void SetTargets(const std::vector<std::string>& targets) {
    format_ = std::make_unique<DeepInsightFormat>(model_name_, targets, sample_ratio_);
  }

  // Eager execution runs no shape function.
  absl::Status CheckShape(const char* name, const Tensor& tensor, const TensorShape& needed) const {
    if (tensor.shape() == needed) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", name, " has shape ",
                                                   tensor.shape().DebugString(), "; pass ", needed.DebugString(), "."));
  }

  template <typename T>
  absl::Status ReadInput(OpKernelContext* ctx, const char* name, const TensorShape& needed, const T** values) const {
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(ctx->input(name, &tensor));
    TF_RETURN_IF_ERROR(CheckShape(name, *tensor, needed));
    *values = tensor->flat<T>().data();
    return absl::OkStatus();
  }

  // Reads what the ops have in common: the times, as many as there are rows, and the numbers of each row, which have the
  // axes of `heads` before the rows.
  absl::Status ReadRows(OpKernelContext* ctx, const TensorShape& heads, DeepInsightRows* rows) const {
    const Tensor* req_times;
    TF_RETURN_IF_ERROR(ctx->input("req_times", &req_times));
    rows->num_rows = req_times->NumElements();
    TF_RETURN_IF_ERROR(ReadInput(ctx, "req_times", {rows->num_rows}, &rows->req_times));
    TensorShape needed = heads;
    needed.AddDim(rows->num_rows);
    TF_RETURN_IF_ERROR(ReadInput(ctx, "labels", needed, &rows->labels));
    TF_RETURN_IF_ERROR(ReadInput(ctx, "preds", needed, &rows->preds));
    return ReadInput(ctx, "sample_rates", needed, &rows->sample_rates);
  }

  absl::Status Send(OpKernelContext* ctx, DeepInsightClient* client, const DeepInsightRows& rows) const {
    if (!returns_messages_ && !client->HasSink()) {
      return absl::UnimplementedError(
          absl::StrCat(type_string(), ": this distribution has no databus to send messages of '", model_name_,
                       "' to; give the client a dump_filename, pass return_msgs=True, or is_fake=True to drop them."));
    }
    const int64_t train_time = uses_zero_train_time_ ? 0 : static_cast<int64_t>(ctx->env()->NowSeconds());
    std::vector<std::string> messages = format_->Messages(rows, train_time);
    Tensor* output;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {rows.num_rows}, &output));
    if (returns_messages_) {
      for (int64_t i = 0; i < rows.num_rows; ++i) output->vec<tstring>()(i) = messages[i];
    }
    return client->Take(std::move(messages), static_cast<int64_t>(ctx->env()->NowSeconds()));
  }

 private:
  std::string model_name_;
  float sample_ratio_ = 0;
  bool returns_messages_ = false;
  bool uses_zero_train_time_ = false;
  std::unique_ptr<DeepInsightFormat> format_;
};

class WriteDeepInsightOp : public WriteDeepInsightBase {
 public:
  explicit WriteDeepInsightOp(OpKernelConstruction* ctx) : WriteDeepInsightBase(ctx) {
    std::string target;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("target", &target));
    SetTargets({target});
  }

 private:
  absl::Status Use(OpKernelContext* ctx, DeepInsightClient* client) override {
    DeepInsightRows rows;
    TF_RETURN_IF_ERROR(ReadRows(ctx, {}, &rows));
    TF_RETURN_IF_ERROR(ReadInput(ctx, "uids", {rows.num_rows}, &rows.uids));
    return Send(ctx, client, rows);
  }
};

class WriteDeepInsightV2Op : public WriteDeepInsightBase {
 public:
  explicit WriteDeepInsightV2Op(OpKernelConstruction* ctx) : WriteDeepInsightBase(ctx) {
    ::tensorflow::DataTypeVector types;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("targets", &targets_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("extra_fields_keys", &keys_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("Tfields", &types));
    OP_REQUIRES_OK(ctx, CheckNames("targets", targets_));
    OP_REQUIRES_OK(ctx, CheckNames("extra_fields_keys", keys_));
    OP_REQUIRES(ctx, !targets_.empty(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": targets is empty; name the heads.")));
    OP_REQUIRES(ctx, keys_.size() == types.size(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", keys_.size(), " extra_fields_keys for ",
                                                        types.size(), " extra_fields_values; pass a key for each.")));
    uid_field_ = std::find(keys_.begin(), keys_.end(), kUid) - keys_.begin();
    OP_REQUIRES(ctx, uid_field_ < keys_.size() && types[uid_field_] == ::tensorflow::DT_INT64,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": no int64 field uid among the extra fields [",
                                                        absl::StrJoin(keys_, ", "), "]; it has the users.")));
    SetTargets(targets_);
  }

 private:
  absl::Status CheckNames(const char* attr, const std::vector<std::string>& names) const {
    std::set<std::string> seen;
    for (const std::string& name : names) {
      if (!seen.insert(name).second) {
        return absl::InvalidArgumentError(
            absl::StrCat(type_string(), ": ", attr, " has '", name, "' twice; a message has each name once."));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Use(OpKernelContext* ctx, DeepInsightClient* client) override {
    DeepInsightRows rows;
    TF_RETURN_IF_ERROR(ReadRows(ctx, {static_cast<int64_t>(targets_.size())}, &rows));
    TF_RETURN_IF_ERROR(AddFields(ctx, &rows));
    return Send(ctx, client, rows);
  }

  absl::Status AddFields(OpKernelContext* ctx, DeepInsightRows* rows) const {
    OpInputList values;
    TF_RETURN_IF_ERROR(ctx->input_list("extra_fields_values", &values));
    for (int i = 0; i < values.size(); ++i) {
      const Tensor& value = values[i];
      TF_RETURN_IF_ERROR(CheckShape(keys_[i].c_str(), value, {rows->num_rows}));
      if (static_cast<size_t>(i) == uid_field_) {
        rows->uids = value.flat<int64_t>().data();
        continue;
      }
      DeepInsightField field;
      field.key = keys_[i];
      if (value.dtype() == ::tensorflow::DT_FLOAT) {
        field.floats = value.flat<float>().data();
      } else if (value.dtype() == ::tensorflow::DT_INT64) {
        field.ints = value.flat<int64_t>().data();
      } else if (value.dtype() == ::tensorflow::DT_STRING) {
        const auto strings = value.flat<tstring>();
        for (int64_t k = 0; k < rows->num_rows; ++k) field.strings.emplace_back(strings(k).data(), strings(k).size());
      } else {
        continue;
      }
      rows->extra_fields.push_back(std::move(field));
    }
    return absl::OkStatus();
  }

  std::vector<std::string> targets_, keys_;
  size_t uid_field_ = 0;
};

REGISTER_KERNEL_BUILDER(Name("MonolithCreateDeepInsightClient").Device(::tensorflow::DEVICE_CPU),
                        CreateDeepInsightClientOp);
REGISTER_KERNEL_BUILDER(Name("MonolithWriteDeepInsight").Device(::tensorflow::DEVICE_CPU), WriteDeepInsightOp);
REGISTER_KERNEL_BUILDER(Name("MonolithWriteDeepInsightV2").Device(::tensorflow::DEVICE_CPU), WriteDeepInsightV2Op);

}  // namespace
}  // namespace monolith
