// SPDX-License-Identifier: Apache-2.0
// Ops of attention: of a query to an example's keys.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

// [B, T, U] from queries, keys and the kernels, the first of which is input number `first`.
absl::Status ProjectionOutput(InferenceContext* c, int first, ShapeHandle* output) {
  ShapeHandle queries, keys, kernel, other_kernel;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first), 2, &queries));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first + 1), 3, &keys));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first + 2), 2, &kernel));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first + 3), 2, &other_kernel));
  TF_RETURN_IF_ERROR(c->Merge(kernel, other_kernel, &kernel));
  DimensionHandle batch, width;
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(queries, 0), c->Dim(keys, 0), &batch));
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(queries, 1), c->Dim(keys, 2), &width));
  TF_RETURN_IF_ERROR(c->Merge(width, c->Dim(kernel, 0), &width));
  *output = c->MakeShape({batch, c->Dim(keys, 1), c->Dim(kernel, 1)});
  return absl::OkStatus();
}

absl::Status ProjectionShape(InferenceContext* c) {
  ShapeHandle output, own;
  TF_RETURN_IF_ERROR(ProjectionOutput(c, 1, &output));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), c->Matrix(c->Dim(output, 0), c->Dim(output, 2)), &own));
  c->set_output(0, output);
  return absl::OkStatus();
}

absl::Status ProjectionGradShape(InferenceContext* c) {
  ShapeHandle output, unused;
  TF_RETURN_IF_ERROR(ProjectionOutput(c, 1, &output));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), output, &unused));
  c->set_output(0, c->Matrix(c->Dim(output, 0), c->Dim(output, 2)));
  for (int i = 1; i < 5; ++i) c->set_output(i, c->input(i));
  return absl::OkStatus();
}

// [B, D] from weights and values, the first of which is input number `first`.
absl::Status WeightedOutput(InferenceContext* c, int first, ShapeHandle* output) {
  ShapeHandle weights, values, unused;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first), 2, &weights));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(first + 1), 3, &values));
  TF_RETURN_IF_ERROR(c->Merge(weights, c->Matrix(c->Dim(values, 0), c->Dim(values, 1)), &unused));
  *output = c->Matrix(c->Dim(values, 0), c->Dim(values, 2));
  return absl::OkStatus();
}

absl::Status WeightedShape(InferenceContext* c) {
  ShapeHandle output;
  TF_RETURN_IF_ERROR(WeightedOutput(c, 0, &output));
  c->set_output(0, output);
  return absl::OkStatus();
}

absl::Status WeightedGradShape(InferenceContext* c) {
  ShapeHandle output, unused;
  TF_RETURN_IF_ERROR(WeightedOutput(c, 1, &output));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), output, &unused));
  c->set_output(0, c->input(1));
  c->set_output(1, c->input(2));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("MonolithKeyProjection")
    .Input("own: float")
    .Input("queries: float")
    .Input("keys: float")
    .Input("of_key: float")
    .Input("of_product: float")
    .Output("output: float")
    .SetShapeFn(ProjectionShape)
    .Doc(R"doc(
Every key of an example, and its product with the example's query, each times a kernel, added up. The products are not
stored.

own: [B, U], added for all keys of an example.
queries: [B, H].
keys: [B, T, H].
of_key: [H, U].
of_product: [H, U].
output: [B, T, U].
)doc");

REGISTER_OP("MonolithKeyProjectionGrad")
    .Input("grad: float")
    .Input("queries: float")
    .Input("keys: float")
    .Input("of_key: float")
    .Input("of_product: float")
    .Output("own_grad: float")
    .Output("queries_grad: float")
    .Output("keys_grad: float")
    .Output("of_key_grad: float")
    .Output("of_product_grad: float")
    .SetShapeFn(ProjectionGradShape)
    .Doc(R"doc(
Gradient of MonolithKeyProjection. It has the same bits for any number of threads.

grad: [B, T, U].
queries: [B, H], as given to MonolithKeyProjection.
keys: [B, T, H], as given to MonolithKeyProjection.
of_key: [H, U], as given to MonolithKeyProjection.
of_product: [H, U], as given to MonolithKeyProjection.
own_grad: [B, U].
queries_grad: like queries.
keys_grad: like keys.
of_key_grad: like of_key.
of_product_grad: like of_product.
)doc");

REGISTER_OP("MonolithWeightedSum")
    .Input("weights: float")
    .Input("values: float")
    .Output("output: float")
    .SetShapeFn(WeightedShape)
    .Doc(R"doc(
Sums of an example's vectors, each times its weight.

weights: [B, T].
values: [B, T, D].
output: [B, D].
)doc");

REGISTER_OP("MonolithWeightedSumGrad")
    .Input("grad: float")
    .Input("weights: float")
    .Input("values: float")
    .Output("weights_grad: float")
    .Output("values_grad: float")
    .SetShapeFn(WeightedGradShape)
    .Doc(R"doc(
Gradient of MonolithWeightedSum.

grad: [B, D].
weights: [B, T], as given to MonolithWeightedSum.
values: [B, T, D], as given to MonolithWeightedSum.
weights_grad: like weights.
values_grad: like values.
)doc");

}  // namespace monolith
