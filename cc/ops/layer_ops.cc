// SPDX-License-Identifier: Apache-2.0
// Ops of layers. Their names and attributes are those of exported graphs.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;
using Status = absl::Status;

// Checks input and weight against the segments; `first` is the input's number.
Status InsightFactors(InferenceContext* c, int first, ShapeHandle* input, ShapeHandle* weight, int64_t* num_segments) {
  std::vector<int64_t> sizes;
  TF_RETURN_IF_ERROR(c->GetAttr("segment_sizes", &sizes));
  int64_t sum = 0;
  for (int64_t size : sizes) {
    if (size < 0)
      return absl::InvalidArgumentError(absl::StrCat("segment_sizes has ", size, "; no width is negative."));
    sum += size;
  }
  *num_segments = static_cast<int64_t>(sizes.size());
  DimensionHandle unused;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first), 2, input));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first + 1), 2, weight));
  TF_RETURN_IF_ERROR(c->WithValue(c->Dim(*input, 1), sum, &unused));
  return c->WithValue(c->Dim(*weight, 0), sum, &unused);
}

Status FeatureInsightShape(InferenceContext* c) {
  ShapeHandle input, weight;
  int64_t num_segments;
  TF_RETURN_IF_ERROR(InsightFactors(c, 0, &input, &weight, &num_segments));
  DimensionHandle width;
  TF_RETURN_IF_ERROR(c->Multiply(c->Dim(weight, 1), num_segments, &width));
  c->set_output(0, c->Matrix(c->Dim(input, 0), width));
  return absl::OkStatus();
}

Status FeatureInsightGradShape(InferenceContext* c) {
  ShapeHandle input, weight, grad;
  int64_t num_segments, units;
  TF_RETURN_IF_ERROR(InsightFactors(c, 1, &input, &weight, &num_segments));
  TF_RETURN_IF_ERROR(c->GetAttr("K", &units));
  DimensionHandle unused;
  TF_RETURN_IF_ERROR(c->WithValue(c->Dim(weight, 1), units, &unused));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), c->Matrix(c->Dim(input, 0), num_segments * units), &grad));
  c->set_output(0, input);
  c->set_output(1, weight);
  return absl::OkStatus();
}

// [rows, N] from x, x0 and kernel, the first of which is input number `first`.
Status InteractOutput(InferenceContext* c, int first, ShapeHandle* output) {
  ShapeHandle x, x0, kernel;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first), 2, &x));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first + 1), 2, &x0));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first + 2), 2, &kernel));
  DimensionHandle rows, pairs;
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(x, 0), c->Dim(x0, 0), &rows));
  TF_RETURN_IF_ERROR(c->Multiply(c->Dim(x, 1), c->Dim(x0, 1), &pairs));
  TF_RETURN_IF_ERROR(c->Merge(pairs, c->Dim(kernel, 0), &pairs));
  *output = c->Matrix(rows, c->Dim(kernel, 1));
  return absl::OkStatus();
}

Status InteractShape(InferenceContext* c) {
  ShapeHandle output;
  TF_RETURN_IF_ERROR(InteractOutput(c, 0, &output));
  c->set_output(0, output);
  return absl::OkStatus();
}

Status InteractGradShape(InferenceContext* c) {
  ShapeHandle output, unused;
  TF_RETURN_IF_ERROR(InteractOutput(c, 1, &output));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), output, &unused));
  for (int i = 0; i < 3; ++i) c->set_output(i, c->input(i + 1));
  return absl::OkStatus();
}

// The inputs' shapes, where grad and output tell of them too.
Status MaxPoolingGradShape(InferenceContext* c) {
  ShapeHandle all = c->input(0);
  for (int i = 1; i < c->num_inputs(); ++i) TF_RETURN_IF_ERROR(c->Merge(all, c->input(i), &all));
  for (int i = 0; i < c->num_outputs(); ++i) c->set_output(i, all);
  return absl::OkStatus();
}

Status ColumnScaleGradShape(InferenceContext* c) {
  ShapeHandle x, scale;
  DimensionHandle width;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &x));
  TF_RETURN_IF_ERROR(c->Merge(x, c->input(0), &x));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 1, &scale));
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(x, 1), c->Dim(scale, 0), &width));
  c->set_output(0, c->Matrix(c->Dim(x, 0), width));
  c->set_output(1, c->Vector(width));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("FeatureInsight")
    .Input("input: float")
    .Input("weight: float")
    .Output("output: float")
    .Attr("segment_sizes: list(int) >= 1")
    .SetShapeFn(FeatureInsightShape)
    .Doc(R"doc(
The product of a dense layer, feature by feature: what each segment of the input adds to every unit.

input: [B, S], the features' columns side by side.
weight: [S, K].
output: [B, n * K]; columns [f * K, (f + 1) * K) are the product of segment f of the input with its rows of the weight.
segment_sizes: the width of each of n features; they add up to S.
)doc");

REGISTER_OP("FeatureInsightGrad")
    .Input("grad: float")
    .Input("input: float")
    .Input("weight: float")
    .Output("input_grad: float")
    .Output("weight_grad: float")
    .Attr("segment_sizes: list(int) >= 1")
    .Attr("K: int")
    .SetShapeFn(FeatureInsightGradShape)
    .Doc(R"doc(
Gradient of FeatureInsight. It has the same bits for any number of threads.

grad: [B, n * K].
input: [B, S], as given to FeatureInsight.
weight: [S, K], as given to FeatureInsight.
input_grad: [B, S].
weight_grad: [S, K].
segment_sizes: as given to FeatureInsight.
K: units, the width of the weight.
)doc");

REGISTER_OP("MonolithInteract")
    .Input("x: float")
    .Input("x0: float")
    .Input("kernel: float")
    .Output("output: float")
    .SetShapeFn(InteractShape)
    .Doc(R"doc(
All products of a row's numbers x with its numbers x0, times a kernel. The products are not stored.

x: [rows, H].
x0: [rows, m].
kernel: [H * m, N]; row h * m + j belongs to x[h] * x0[j].
output: [rows, N].
)doc");

REGISTER_OP("MonolithInteractGrad")
    .Input("grad: float")
    .Input("x: float")
    .Input("x0: float")
    .Input("kernel: float")
    .Output("x_grad: float")
    .Output("x0_grad: float")
    .Output("kernel_grad: float")
    .SetShapeFn(InteractGradShape)
    .Doc(R"doc(
Gradient of MonolithInteract. It has the same bits for any number of threads.

grad: [rows, N].
x: [rows, H], as given to MonolithInteract.
x0: [rows, m], as given to MonolithInteract.
kernel: [H * m, N], as given to MonolithInteract.
x_grad: like x.
x0_grad: like x0.
kernel_grad: like kernel.
)doc");

REGISTER_OP("MonolithMaxPoolingGrad")
    .Input("grad: float")
    .Input("output: float")
    .Input("inputs: N * float")
    .Output("input_grads: N * float")
    .Attr("N: int >= 1")
    .SetShapeFn(MaxPoolingGradShape)
    .Doc(R"doc(
Gradient of the largest of N tensors, element by element. The first of equals gets it.

grad: any shape.
output: the largest elements, like grad.
inputs: the tensors, each like grad.
input_grads: grad where an input is the first that is not below output, 0 elsewhere.
N: how many tensors.
)doc");

REGISTER_OP("MonolithColumnScaleGrad")
    .Input("grad: float")
    .Input("x: float")
    .Input("scale: float")
    .Output("x_grad: float")
    .Output("scale_grad: float")
    .SetShapeFn(ColumnScaleGradShape)
    .Doc(R"doc(
Gradient of a matrix whose columns are multiplied by a number each. It has the same bits for any number of threads.

grad: [rows, N].
x: [rows, N], the matrix.
scale: [N], a number a column.
x_grad: like x.
scale_grad: like scale.
)doc");

REGISTER_OP("MonolithFidCounter")
    .Input("counter: float")
    .Output("output: float")
    .Attr("step: float")
    .Attr("counter_threshold: int")
    .SetShapeFn(::tensorflow::shape_inference::UnchangedShape)
    .Doc(R"doc(
Returns its input. Its gradient, whatever comes in, is -step where the counter is below the threshold and 0 elsewhere, so
that gradient descent with a learning rate of 1 counts in steps.

counter: any shape.
output: like counter.
step: what one update adds.
counter_threshold: from where on the counter stays.
)doc");

}  // namespace monolith
