// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "cc/kernels/layer_inputs.h"
#include "cc/kernels/run_units.h"
#include "cc/layers/max_pooling.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpInputList;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelContext;
using ::tensorflow::OpOutputList;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kNumbersPerUnit = 4096;
constexpr double kCostPerNumber = 0.3;  // ns, of a number of one input

class MaxPoolingGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    OpInputList inputs;
    OpOutputList outputs;
    OP_REQUIRES_OK(ctx, ctx->input_list("inputs", &inputs));
    OP_REQUIRES_OK(ctx, ctx->output_list("input_grads", &outputs));
    const TensorShape& shape = ctx->input(0).shape();
    std::vector<const float*> from;
    std::vector<float*> to;
    for (int i = 1; i < ctx->num_inputs(); ++i) {
      OP_REQUIRES(ctx, ctx->input(i).shape() == shape,
                  BadLayerInput(ctx, "grad has shape ", shape.DebugString(), ", but input ", i, " ",
                                ctx->input(i).shape().DebugString(), "; all must be of one shape."));
    }
    for (int i = 0; i < inputs.size(); ++i) {
      Tensor* output = nullptr;
      OP_REQUIRES_OK(ctx, outputs.allocate(i, shape, &output));
      from.push_back(inputs[i].flat<float>().data());
      to.push_back(output->flat<float>().data());
    }
    const float* grad = ctx->input(0).flat<float>().data();
    const float* largest = ctx->input(1).flat<float>().data();
    const int64_t cost = static_cast<int64_t>(kNumbersPerUnit * kCostPerNumber * inputs.size()) + 1;
    OP_REQUIRES_OK(ctx, RunRanges(ctx, shape.num_elements(), kNumbersPerUnit, cost, [&](int64_t begin, int64_t end) {
                     layers::MaxPoolingGradient(begin, end, grad, largest, from, to);
                   }));
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithMaxPoolingGrad").Device(::tensorflow::DEVICE_CPU), MaxPoolingGradOp);

}  // namespace
}  // namespace monolith
