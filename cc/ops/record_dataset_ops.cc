// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

absl::Status ScalarToScalar(InferenceContext* c) {
  ShapeHandle unused;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
  return ::tensorflow::shape_inference::ScalarShape(c);
}

REGISTER_OP("TransformDataset")
    .Input("input_dataset: variant")
    .Output("handle: variant")
    .Attr("config: string")
    .Attr("variant_type: string")
    .Attr("seed: int = 0")
    .Attr("seed2: int = 0")
    .Attr("output_types: list(type) >= 1")
    .Attr("output_shapes: list(shape) >= 1")
    .SetIsStateful()
    .SetShapeFn(ScalarToScalar)
    .Doc(R"doc(
A dataset of the records that a chain of filters keeps, with the changes that it makes.

input_dataset: scalar variants with a record.
handle: the dataset.
config: a serialized TransformConfig.
variant_type: instance or example.
seed: of the random numbers of every iterator; if both seeds are 0, a new one.
seed2: the second part of the seed.
output_types: variant.
output_shapes: a scalar.
)doc");

REGISTER_OP("InstanceReweightDataset")
    .Input("input_dataset: variant")
    .Output("handle: variant")
    .Attr("actions: list(int) >= 0")
    .Attr("weights: list(int) >= 0")
    .Attr("labels: list(int) >= 0")
    .Attr("priorities: list(int) >= 0")
    .Attr("variant_type: string = 'example'")
    .Attr("output_types: list(type) >= 1")
    .Attr("output_shapes: list(shape) >= 1")
    .SetShapeFn(ScalarToScalar)
    .Doc(R"doc(
A dataset of as many copies of every record as its actions weigh; of those that nothing important has happened to, none.

input_dataset: scalar variants with a record.
handle: the dataset.
actions: actions with a weight and a label.
weights: for each, how often a record with it counts, at least 0.
labels: for each, the first label of a record with it.
priorities: actions, the most important first.
variant_type: instance or example.
output_types: variant.
output_shapes: a scalar.
)doc");

}  // namespace
}  // namespace monolith
