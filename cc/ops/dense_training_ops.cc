// SPDX-License-Identifier: Apache-2.0
// Steps of optimizers on dense variables.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tensorflow {
namespace {

using shape_inference::InferenceContext;
using shape_inference::ShapeHandle;

// The first `num_variables` inputs are handles of variables in the shape of the last input; between are scalars.
template <int num_variables>
absl::Status TrainingOpShape(InferenceContext* c) {
  ShapeHandle shape = c->input(c->num_inputs() - 1), unused;
  for (int i = 0; i < num_variables; ++i) {
    TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 0, &unused));
    const auto* variable = c->input_handle_shapes_and_types(i);
    if (variable != nullptr && !variable->empty()) TF_RETURN_IF_ERROR(c->Merge(shape, (*variable)[0].shape, &shape));
  }
  for (int i = num_variables; i < c->num_inputs() - 1; ++i) TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 0, &unused));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("ResourceApplyAdamom")
    .Input("var: resource")
    .Input("m: resource")
    .Input("v: resource")
    .Input("c: resource")
    .Input("learning_rate: float")
    .Input("ada_decay: float")
    .Input("mom_decay: float")
    .Input("epsilon: float")
    .Input("weight_decay: float")
    .Input("grad: float")
    .Attr("use_locking: bool = false")
    .Attr("update_slots: bool = true")
    .Attr("use_v2: bool = false")
    .SetShapeFn(TrainingOpShape<4>)
    .Doc(R"doc(
One step of Adamom. With g = weight_decay * var + grad:

m = mom_decay * m + (1 - mom_decay) * g; v = ada_decay * v + g^2; c = ada_decay * c + 1;
var -= learning_rate * m / sqrt(v / c + epsilon).

var: a float variable of any shape.
m: like var; the momentum.
v: like var; the decayed sum of squares.
c: like var; how many squares that is.
learning_rate: scalar.
ada_decay: scalar.
mom_decay: scalar.
epsilon: scalar.
weight_decay: scalar.
grad: like var.
use_locking: accepted for the sake of saved graphs; the variables are locked in any case.
update_slots: or m, v and c stay as they are and only var moves, where c is not 0.
use_v2: divides by sqrt(v / c) + epsilon instead.
)doc");

REGISTER_OP("ResourceApplyRmsprop")
    .Input("var: resource")
    .Input("m: resource")
    .Input("v: resource")
    .Input("learning_rate: float")
    .Input("beta1: float")
    .Input("beta2: float")
    .Input("epsilon: float")
    .Input("weight_decay: float")
    .Input("grad: float")
    .Attr("use_locking: bool = false")
    .Attr("update_slots: bool = true")
    .Attr("use_v2: bool = false")
    .SetShapeFn(TrainingOpShape<3>)
    .Doc(R"doc(
One step of RMSprop with momentum. With g = weight_decay * var + grad:

v += (1 - beta2) * (g^2 - v); m = beta1 * m + learning_rate * g / sqrt(v + epsilon); var -= m.

var: a float variable of any shape.
m: like var; the momentum, which is the step.
v: like var; the mean of squares.
learning_rate: scalar.
beta1: scalar.
beta2: scalar.
epsilon: scalar.
weight_decay: scalar.
grad: like var.
use_locking: accepted for the sake of saved graphs; the variables are locked in any case.
update_slots: or nothing changes, since the step is a slot.
use_v2: v = beta2 * v + g^2, and m has sqrt(v) + epsilon for a divisor.
)doc");

}  // namespace tensorflow
