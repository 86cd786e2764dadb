// SPDX-License-Identifier: Apache-2.0
// The pairwise loss of a batch.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tensorflow {
namespace {

using shape_inference::DimensionHandle;
using shape_inference::InferenceContext;

// Inputs 0 and 1 have one element a row each, in whatever shape.
absl::Status RequireEqualSizes(InferenceContext* c) {
  const auto size = [c](int input, int64_t* size) {
    *size = 1;
    if (!c->RankKnown(c->input(input))) return false;
    for (int i = 0; i < c->Rank(c->input(input)); ++i) {
      const DimensionHandle dim = c->Dim(c->input(input), i);
      if (!c->ValueKnown(dim)) return false;
      *size *= c->Value(dim);
    }
    return true;
  };
  int64_t labels, logits;
  if (size(0, &labels) && size(1, &logits) && labels != logits) {
    return absl::InvalidArgumentError(absl::StrCat("label is ", c->DebugString(c->input(0)), " but logit is ",
                                                   c->DebugString(c->input(1)), "; give both one number a row."));
  }
  return absl::OkStatus();
}

absl::Status InbatchAucLossShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireEqualSizes(c));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

absl::Status InbatchAucLossGradShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireEqualSizes(c));
  shape_inference::ShapeHandle unused;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 0, &unused));
  c->set_output(0, c->input(1));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("InbatchAucLoss")
    .Input("label: float")
    .Input("logit: float")
    .Output("loss: float")
    .Attr("neg_weight: float")
    .SetDoNotOptimize()
    .SetShapeFn(InbatchAucLossShape)
    .Doc(R"doc(
The sum of ln sigmoid(logit[i] - logit[j]) over every positive i and negative j of the batch. It is a log-likelihood, at
most 0: to be maximised.

Positives have a label above 0, negatives one in (-10000, 0]; other rows take no part. A pair is worth its difference where
that is -87 or less, and 0 where it is 88 or more.

label: any shape, one number a row.
logit: as many numbers.
loss: scalar; 0 if there are no positives or no negatives.
neg_weight: in (0, 1], multiplies the gradient of the negatives; it does not change the value.
)doc");

REGISTER_OP("InbatchAucLossGrad")
    .Input("label: float")
    .Input("logit: float")
    .Input("grad: float")
    .Output("logit_grad: float")
    .Attr("neg_weight: float")
    .SetDoNotOptimize()
    .SetShapeFn(InbatchAucLossGradShape)
    .Doc(R"doc(
The gradient of InbatchAucLoss: a pair gives 1 - sigmoid(logit[i] - logit[j]) to its positive and takes neg_weight times
that from its negative.

label: as of InbatchAucLoss.
logit: as of InbatchAucLoss.
grad: scalar, multiplies all.
logit_grad: shape of logit; 0 in rows that take no part.
neg_weight: in (0, 1].
)doc");

}  // namespace tensorflow
