// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include "cc/kernels/filter_files.h"
#include "cc/kernels/scalar_input.h"
#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace monolith {
namespace {

using ::tensorflow::AsyncOpKernel;
using ::tensorflow::Env;
using ::tensorflow::OpKernelContext;
using ::tensorflow::core::RefCountPtr;

// Finds the filter, then lets `work` save or restore it on a thread of the pool. A filter that keeps no counts has
// nothing to save; it is left alone.
template <absl::Status (*work)(Env*, SlidingFilter*, const std::string&)>
class FilterFileOp : public AsyncOpKernel {
 public:
  enum Input { kFilter = 0, kBasename = 1 };
  using AsyncOpKernel::AsyncOpKernel;

  void ComputeAsync(OpKernelContext* ctx, DoneCallback done) override {
    RefCountPtr<FilterResource> resource;
    OP_REQUIRES_OK_ASYNC(ctx, ::tensorflow::LookupResource(ctx, ::tensorflow::HandleFromInput(ctx, kFilter), &resource),
                         done);
    ::tensorflow::tstring basename;
    OP_REQUIRES_OK_ASYNC(ctx, ReadScalar(ctx, kBasename, "basename", &basename), done);
    ctx->set_output(0, ctx->input(kFilter));
    if (resource->sliding() == nullptr) return done();
    auto* held = resource.release();
    ctx->env()->SchedClosure([ctx, held, basename = std::string(basename), done = std::move(done)] {
      const RefCountPtr<FilterResource> filter(held);
      OP_REQUIRES_OK_ASYNC(ctx, work(ctx->env(), filter->sliding(), basename), done);
      done();
    });
  }
};

absl::Status Save(Env* env, SlidingFilter* filter, const std::string& basename) {
  return SaveFilter(env, *filter, basename);
}

REGISTER_KERNEL_BUILDER(Name("MonolithHashFilterSave").Device(::tensorflow::DEVICE_CPU), FilterFileOp<Save>);
REGISTER_KERNEL_BUILDER(Name("MonolithHashFilterRestore").Device(::tensorflow::DEVICE_CPU),
                        FilterFileOp<RestoreFilter>);

}  // namespace
}  // namespace monolith
