// SPDX-License-Identifier: Apache-2.0
// Ops of field-aware factorization. Names and attributes of FFM and FFMGrad are those of exported graphs.
#include <cstdint>
#include <string>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;
using Status = absl::Status;

// L and R, and the batch, from left and right, the first of which is input number `left`.
Status FfmSides(InferenceContext* c, int left, DimensionHandle* batch, DimensionHandle* num_left,
                DimensionHandle* num_right) {
  int64_t dim;
  TF_RETURN_IF_ERROR(c->GetAttr("dim_size", &dim));
  ShapeHandle sides[2];
  for (int i = 0; i < 2; ++i) {
    TF_RETURN_IF_ERROR(c->WithRank(c->input(left + i), 2, &sides[i]));
    TF_RETURN_IF_ERROR(c->Divide(c->Dim(sides[i], 1), dim, /*evenly_divisible=*/true, i == 0 ? num_left : num_right));
  }
  return c->Merge(c->Dim(sides[0], 0), c->Dim(sides[1], 0), batch);
}

Status FfmOutput(InferenceContext* c, int left, ShapeHandle* output) {
  DimensionHandle batch, num_left, num_right, width;
  TF_RETURN_IF_ERROR(FfmSides(c, left, &batch, &num_left, &num_right));
  std::string int_type;
  int64_t dim;
  TF_RETURN_IF_ERROR(c->GetAttr("int_type", &int_type));
  TF_RETURN_IF_ERROR(c->GetAttr("dim_size", &dim));
  TF_RETURN_IF_ERROR(c->Multiply(num_left, num_right, &width));
  if (int_type != "dot") TF_RETURN_IF_ERROR(c->Multiply(width, dim, &width));
  *output = c->Matrix(batch, width);
  return absl::OkStatus();
}

Status FfmShape(InferenceContext* c) {
  ShapeHandle output;
  TF_RETURN_IF_ERROR(FfmOutput(c, 0, &output));
  c->set_output(0, output);
  return absl::OkStatus();
}

Status FfmGradShape(InferenceContext* c) {
  ShapeHandle output, unused;
  TF_RETURN_IF_ERROR(FfmOutput(c, 1, &output));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), output, &unused));
  c->set_output(0, c->input(1));
  c->set_output(1, c->input(2));
  return absl::OkStatus();
}

// The shape [B, D] of every feature, from those of both sides, the first of which is input number `first`.
Status FeatureShape(InferenceContext* c, int first, ShapeHandle* feature) {
  *feature = c->Matrix(c->UnknownDim(), c->UnknownDim());
  for (int i = first; i < c->num_inputs(); ++i) TF_RETURN_IF_ERROR(c->Merge(*feature, c->input(i), feature));
  return absl::OkStatus();
}

Status FfmOfFeaturesOutput(InferenceContext* c, ShapeHandle feature, ShapeHandle* output) {
  int32_t num_left, num_right;
  std::string int_type;
  TF_RETURN_IF_ERROR(c->GetAttr("L", &num_left));
  TF_RETURN_IF_ERROR(c->GetAttr("R", &num_right));
  TF_RETURN_IF_ERROR(c->GetAttr("int_type", &int_type));
  const int64_t num_pairs = int64_t{num_left} * num_right;
  DimensionHandle width = c->MakeDim(num_pairs);
  if (int_type != "dot") TF_RETURN_IF_ERROR(c->Multiply(c->Dim(feature, 1), num_pairs, &width));
  *output = c->Matrix(c->Dim(feature, 0), width);
  return absl::OkStatus();
}

Status FfmOfFeaturesShape(InferenceContext* c) {
  ShapeHandle feature, output;
  TF_RETURN_IF_ERROR(FeatureShape(c, 0, &feature));
  TF_RETURN_IF_ERROR(FfmOfFeaturesOutput(c, feature, &output));
  c->set_output(0, output);
  return absl::OkStatus();
}

Status FfmOfFeaturesGradShape(InferenceContext* c) {
  ShapeHandle feature, output, unused;
  TF_RETURN_IF_ERROR(FeatureShape(c, 1, &feature));
  TF_RETURN_IF_ERROR(FfmOfFeaturesOutput(c, feature, &output));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), output, &unused));
  for (int i = 0; i < c->num_outputs(); ++i) c->set_output(i, feature);
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("FFM")
    .Input("left: float")
    .Input("right: float")
    .Output("output: float")
    .Attr("dim_size: int >= 1")
    .Attr("int_type: string")
    .SetShapeFn(FfmShape)
    .Doc(R"doc(
Every vector of one group of features with every vector of another.

left: [B, L * D], L vectors of D floats side by side.
right: [B, R * D].
output: [B, L * R] inner products if int_type is 'dot', else [B, L * R * D] products element by element; the pair (l, r)
  is number l * R + r.
dim_size: D.
int_type: 'dot'; anything else multiplies.
)doc");

REGISTER_OP("FFMGrad")
    .Input("grad: float")
    .Input("left: float")
    .Input("right: float")
    .Output("left_grad: float")
    .Output("right_grad: float")
    .Attr("dim_size: int >= 1")
    .Attr("int_type: string")
    .SetShapeFn(FfmGradShape)
    .Doc(R"doc(
Gradient of FFM with respect to both sides.

grad: like the output of FFM.
left: [B, L * D], as given to FFM.
right: [B, R * D], as given to FFM.
left_grad: like left.
right_grad: like right.
dim_size: D.
int_type: as given to FFM.
)doc");

REGISTER_OP("MonolithFfmOfFeatures")
    .Input("left: L * float")
    .Input("right: R * float")
    .Output("output: float")
    .Attr("L: int >= 1")
    .Attr("R: int >= 1")
    .Attr("int_type: string")
    .SetShapeFn(FfmOfFeaturesShape)
    .Doc(R"doc(
FFM of features that lie in tensors of their own.

left: [B, D] each.
right: [B, D] each.
output: [B, L * R] inner products if int_type is 'dot', else [B, L * R * D] products element by element; the pair (l, r)
  is number l * R + r.
L: how many features are on the left.
R: how many features are on the right.
int_type: 'dot'; anything else multiplies.
)doc");

REGISTER_OP("MonolithFfmOfFeaturesGrad")
    .Input("grad: float")
    .Input("left: L * float")
    .Input("right: R * float")
    .Output("left_grads: L * float")
    .Output("right_grads: R * float")
    .Attr("L: int >= 1")
    .Attr("R: int >= 1")
    .Attr("int_type: string")
    .SetShapeFn(FfmOfFeaturesGradShape)
    .Doc(R"doc(
Gradient of MonolithFfmOfFeatures with respect to every feature.

grad: like the output of MonolithFfmOfFeatures.
left: [B, D] each, as given to MonolithFfmOfFeatures.
right: [B, D] each, as given to MonolithFfmOfFeatures.
left_grads: like left.
right_grads: like right.
L: how many features are on the left.
R: how many features are on the right.
int_type: as given to MonolithFfmOfFeatures.
)doc");

}  // namespace monolith
