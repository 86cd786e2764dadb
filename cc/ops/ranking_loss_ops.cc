// SPDX-License-Identifier: Apache-2.0
// Losses over lists of scored items.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tensorflow {
namespace {

using shape_inference::DimensionHandle;
using shape_inference::InferenceContext;
using shape_inference::ShapeHandle;

constexpr char kReductions[] =
    "reduction: {'weighted_sum', 'weighted_mean', 'weighted_sum_by_nonzero_weights', 'weighted_sum_over_batch_size'}";

// Input `input` has 1 or all lists, and 1 or all items.
absl::Status RequireBroadcast(InferenceContext* c, int input, ShapeHandle lists) {
  ShapeHandle shape;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(input), 2, &shape));
  for (int axis = 0; axis < 2; ++axis) {
    const DimensionHandle size = c->Dim(shape, axis), whole = c->Dim(lists, axis);
    if (!c->ValueKnown(size) || !c->ValueKnown(whole) || c->Value(size) == 1 || c->Value(size) == c->Value(whole)) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat("input ", input, " is ", c->DebugString(shape), " but labels are ",
                                                   c->DebugString(lists),
                                                   "; give it 1 or all of their lists and items."));
  }
  return absl::OkStatus();
}

absl::Status RequireLists(InferenceContext* c, ShapeHandle* lists) {
  ShapeHandle labels, logits;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &labels));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &logits));
  TF_RETURN_IF_ERROR(c->Merge(labels, logits, lists));
  return RequireBroadcast(c, 2, *lists);
}

// Labels, logits, weights.
absl::Status LossShape(InferenceContext* c) {
  ShapeHandle lists;
  TF_RETURN_IF_ERROR(RequireLists(c, &lists));
  c->set_output(0, c->Scalar());
  c->set_output(1, c->Scalar());
  return absl::OkStatus();
}

// The same, ..., divisor, grad.
absl::Status LossGradShape(InferenceContext* c) {
  ShapeHandle lists, unused;
  TF_RETURN_IF_ERROR(RequireLists(c, &lists));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(c->num_inputs() - 2), 0, &unused));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(c->num_inputs() - 1), 0, &unused));
  c->set_output(0, lists);
  return absl::OkStatus();
}

// Ties and rank weights, inputs 3 and 4 of ListMLE.
absl::Status RequireDraws(InferenceContext* c) {
  ShapeHandle lists, unused;
  TF_RETURN_IF_ERROR(RequireLists(c, &lists));
  TF_RETURN_IF_ERROR(c->Merge(lists, c->input(3), &unused));
  return RequireBroadcast(c, 4, lists);
}

absl::Status ListMleShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireDraws(c));
  return LossShape(c);
}

absl::Status ListMleGradShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireDraws(c));
  return LossGradShape(c);
}

constexpr char kLosses[] =
    "loss_name: {'pairwise_hinge_loss', 'pairwise_logistic_loss', 'pairwise_soft_zero_one_loss', 'softmax_loss', "
    "'sigmoid_cross_entropy_loss', 'mean_squared_loss', 'approx_ndcg_loss'}";

}  // namespace

REGISTER_OP("RankingLoss")
    .Input("labels: T")
    .Input("logits: T")
    .Input("weights: T")
    .Output("loss: T")
    .Output("divisor: T")
    .Attr("T: {float, double}")
    .Attr(kLosses)
    .Attr(kReductions)
    .Attr("alpha: float = 10.0")
    .SetShapeFn(LossShape)
    .Doc(R"doc(
One of the losses of learning to rank, over lists of items of which those with a negative label take no part. Pairs are
never stored: memory grows with the items.

labels: [batch, list].
logits: [batch, list]; those of invalid items may hold anything.
weights: [batch, list], or of size 1 along an axis that shares them. Of the lists in approx_ndcg_loss, which reads the first
  item's; multiplies the labels in softmax_loss; else of the items, where that of a pair is that of its better item.
loss: scalar; 0 where the divisor is 0.
divisor: scalar, by which the sum of weighted losses was divided.
reduction: as in tf.compat.v1.losses.Reduction.
alpha: sharpness of the ranks in approx_ndcg_loss.
)doc");

REGISTER_OP("RankingLossGrad")
    .Input("labels: T")
    .Input("logits: T")
    .Input("weights: T")
    .Input("divisor: T")
    .Input("grad: T")
    .Output("logits_grad: T")
    .Attr("T: {float, double}")
    .Attr(kLosses)
    .Attr("alpha: float = 10.0")
    .SetShapeFn(LossGradShape)
    .Doc(R"doc(
The gradient of RankingLoss.

labels: as of RankingLoss.
logits: as of RankingLoss.
weights: as of RankingLoss.
divisor: output of RankingLoss.
grad: scalar, multiplies all.
logits_grad: [batch, list]; 0 in invalid items.
alpha: as of RankingLoss.
)doc");

REGISTER_OP("ListMleLoss")
    .Input("labels: T")
    .Input("logits: T")
    .Input("weights: T")
    .Input("ties: T")
    .Input("rank_weights: T")
    .Output("loss: T")
    .Output("divisor: T")
    .Attr("T: {float, double}")
    .Attr(kReductions)
    .SetShapeFn(ListMleShape)
    .Doc(R"doc(
Minus the log-likelihood of the order of labels, if items are drawn one after another by the softmax of the rest. Items with
a negative label are drawn last, for the logarithm of how many are left.

labels: [batch, list].
logits: [batch, list]; those of invalid items may hold anything.
weights: [batch, 1] or [1, 1], of the lists.
ties: [batch, list]; of items with one label, the one with the larger number is drawn first.
rank_weights: [batch, list] or of size 1 along an axis that shares them; multiplies the cost of the first draw, ....
loss: scalar; 0 where the divisor is 0.
divisor: scalar, by which the sum of weighted losses was divided.
reduction: as in tf.compat.v1.losses.Reduction.
)doc");

REGISTER_OP("ListMleLossGrad")
    .Input("labels: T")
    .Input("logits: T")
    .Input("weights: T")
    .Input("ties: T")
    .Input("rank_weights: T")
    .Input("divisor: T")
    .Input("grad: T")
    .Output("logits_grad: T")
    .Attr("T: {float, double}")
    .SetShapeFn(ListMleGradShape)
    .Doc(R"doc(
The gradient of ListMleLoss.

labels: as of ListMleLoss.
logits: as of ListMleLoss.
weights: as of ListMleLoss.
ties: as of ListMleLoss.
rank_weights: as of ListMleLoss.
divisor: output of ListMleLoss.
grad: scalar, multiplies all.
logits_grad: [batch, list]; 0 in invalid items.
)doc");

}  // namespace tensorflow
