// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/kernels/status_util.h"
#include "cc/kernels/table_resources.h"
#include "monolith/native_training/runtime/hash_table/embedding_hash_table.pb.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::ResourceOpKernel;
using ::tensorflow::Tensor;
using ::tensorflow::core::RefCountPtr;

absl::Status ParseThresholds(const std::string& serialized, OccurrenceThresholdConfig* config) {
  hash_table::SlotOccurrenceThresholdConfig proto;
  if (!proto.ParseFromString(serialized)) {
    return absl::InvalidArgumentError(
        "the occurrence filter's config is no SlotOccurrenceThresholdConfig; serialize one.");
  }
  config->default_threshold = proto.default_occurrence_threshold();
  for (const auto& one : proto.slot_occurrence_thresholds()) {
    config->by_slot[one.slot()] = one.occurrence_threshold();
  }
  return absl::OkStatus();
}

// The part that the counting filters share: their thresholds.
class FilterOp : public ResourceOpKernel<FilterResource> {
 public:
  explicit FilterOp(OpKernelConstruction* ctx) : ResourceOpKernel(ctx) {
    std::string config;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("config", &config));
    OP_REQUIRES_OK(ctx, ParseThresholds(config, &thresholds_));
  }

 protected:
  OccurrenceThresholdConfig thresholds_;
};

class SlidingFilterOp : public FilterOp {
 public:
  explicit SlidingFilterOp(OpKernelConstruction* ctx) : FilterOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("capacity", &capacity_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("split_num", &split_num_));
  }

 private:
  absl::Status CreateResource(FilterResource** resource) override {
    return ToStatus(
        [&] { *resource = new FilterResource(std::make_unique<SlidingFilter>(capacity_, split_num_, thresholds_)); });
  }

  int64_t capacity_, split_num_;
};

class ProbabilisticFilterOp : public FilterOp {
 public:
  explicit ProbabilisticFilterOp(OpKernelConstruction* ctx) : FilterOp(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("equal_probability", &equal_probability_));
  }

 private:
  absl::Status CreateResource(FilterResource** resource) override {
    return ToStatus([&] {
      *resource = new FilterResource(std::make_unique<ProbabilisticFilter>(equal_probability_, thresholds_));
    });
  }

  bool equal_probability_;
};

class DummyHashFilterOp : public ResourceOpKernel<FilterResource> {
 public:
  using ResourceOpKernel::ResourceOpKernel;

 private:
  absl::Status CreateResource(FilterResource** resource) override {
    *resource = new FilterResource();
    return absl::OkStatus();
  }
};

class DummySyncClientOp : public ResourceOpKernel<SyncClientResource> {
 public:
  using ResourceOpKernel::ResourceOpKernel;

 private:
  absl::Status CreateResource(SyncClientResource** resource) override {
    *resource = new SyncClientResource();
    return absl::OkStatus();
  }
};

// Passes embeddings on; what it is for happens in its gradient.
class InterceptGradientOp : public OpKernel {
 public:
  enum Input { kFilter = 0, kIds = 1, kEmbeddings = 2 };
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* ctx) override { ctx->set_output(0, ctx->input(kEmbeddings)); }
};

class InterceptGradientGradientOp : public OpKernel {
 public:
  enum Input { kFilter = 0, kIds = 1, kGrad = 2 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<FilterResource> resource;
    OP_REQUIRES_OK(ctx, ::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, kFilter), &resource));
    const Tensor& ids = ctx->input(kIds);
    const Tensor& grad = ctx->input(kGrad);
    const int64_t n = ids.NumElements();
    OP_REQUIRES(ctx, Divides(ids, grad),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": grad has shape ", grad.shape().DebugString(),
                                                        " for ", n, " ids; give one row for each id.")));
    const int64_t dim = n > 0 ? grad.NumElements() / n : grad.dims() == 2 ? grad.dim_size(1) : 0;
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {n, dim}, &output));
    OP_REQUIRES_OK(ctx, ToStatus([&] {
                     Intercept(resource->sliding(), ids.flat<int64_t>().data(), n, dim, grad.flat<float>().data(),
                               output->flat<float>().data());
                   }));
  }

 private:
  static bool Divides(const Tensor& ids, const Tensor& grad) {
    const int64_t n = ids.NumElements();
    if (grad.dims() == 2 && grad.dim_size(0) != n) return false;
    return n > 0 ? grad.NumElements() % n == 0 : grad.NumElements() == 0;
  }

  // Every occurrence of an id is one sighting. A filter that keeps no counts needs a table to refuse anything.
  static void Intercept(SlidingFilter* filter, const int64_t* ids, int64_t n, int64_t dim, const float* grad,
                        float* kept) {
    for (int64_t i = 0; i < n; ++i, grad += dim, kept += dim) {
      if (filter == nullptr || filter->Admit(ids[i], 1)) {
        std::copy_n(grad, dim, kept);
      } else {
        std::fill_n(kept, dim, 0.0f);
      }
    }
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithHashFilter").Device(::tensorflow::DEVICE_CPU), SlidingFilterOp);
REGISTER_KERNEL_BUILDER(Name("MonolithProbabilisticFilter").Device(::tensorflow::DEVICE_CPU), ProbabilisticFilterOp);
REGISTER_KERNEL_BUILDER(Name("MonolithDummyHashFilter").Device(::tensorflow::DEVICE_CPU), DummyHashFilterOp);
REGISTER_KERNEL_BUILDER(Name("MonolithDummySyncClient").Device(::tensorflow::DEVICE_CPU), DummySyncClientOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashFilterInterceptGradient").Device(::tensorflow::DEVICE_CPU),
                        InterceptGradientOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashFilterInterceptGradientGradient").Device(::tensorflow::DEVICE_CPU),
                        InterceptGradientGradientOp);

}  // namespace
}  // namespace monolith
