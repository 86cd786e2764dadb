// SPDX-License-Identifier: Apache-2.0
// One op looks up and combines the fids of many features, one takes all gradients back. The attributes are the same for
// all of them; cc/hash_table/combine_plan.h draws what they describe.
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/ops/combined_shapes.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;
using Status = absl::Status;

Status CheckRank(InferenceContext* c, int input, int rank) {
  ShapeHandle unused;
  return c->WithRank(c->input(input), rank, &unused);
}

// learning_rate, update_time and global_step, the last three inputs.
Status CheckStep(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckRank(c, c->num_inputs() - 3, 1));
  TF_RETURN_IF_ERROR(CheckRank(c, c->num_inputs() - 2, 0));
  return CheckRank(c, c->num_inputs() - 1, 0);
}

Status LookupShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckRank(c, 0, 0));
  std::vector<ShapeHandle> shapes;
  TF_RETURN_IF_ERROR(CombinedOutputShapes(c, &shapes));
  for (size_t o = 0; o < shapes.size(); ++o) c->set_output(o, shapes[o]);
  return absl::OkStatus();
}

Status TrainingLookupShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckRank(c, 1, 0));
  TF_RETURN_IF_ERROR(CheckStep(c));
  return LookupShapes(c);
}

Status CheckGradients(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckOutputGradients(c));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

Status OptimizeShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckRank(c, 0, 0));
  TF_RETURN_IF_ERROR(CheckStep(c));
  return CheckGradients(c);
}

}  // namespace

REGISTER_OP("MonolithMultiHashTableCombinedLookup")
    .Input("mtable: resource")
    .Input("ids: N * int64")
    .Input("row_splits: N * Tsplits")
    .Output("outputs: M * float")
    .MONOLITH_COMBINED_ATTRS.SetIsStateful()
    .SetShapeFn(LookupShapes)
    .Doc(absl::StrCat(R"doc(
Reads the embeddings of many features and combines each row's. Absent fids count as zeros and are not inserted; a row
without fids gives zeros, also for mean.

mtable: the tables.
ids: fids of every feature: a vector beside row_splits; without them [batch], one a row, or [batch, fids a row].
row_splits: of every feature batch + 1 row splits, or an empty vector where its ids are dense.
outputs: [batch, width], or [batch, length, width] of features that keep their first fids apart.
)doc",
                      kCombinedAttrDoc));

REGISTER_OP("MonolithMultiHashTableCombinedTrainingLookup")
    .Input("mtable: resource")
    .Input("anchor: float")
    .Input("ids: N * int64")
    .Input("row_splits: N * Tsplits")
    .Input("learning_rate: float")
    .Input("update_time: int64")
    .Input("global_step: int64")
    .Output("outputs: M * float")
    .MONOLITH_COMBINED_ATTRS.SetIsStateful()
    .SetShapeFn(TrainingLookupShapes)
    .Doc(absl::StrCat(R"doc(
MonolithMultiHashTableCombinedLookup whose gradient with respect to `anchor` is the optimizer step: computing it runs
MonolithMultiHashTableCombinedOptimize once, and its value is 0.

mtable: the tables.
anchor: a scalar that a gradient can be taken of; its value is not read.
ids: fids of every feature: a vector beside row_splits; without them [batch], one a row, or [batch, fids a row].
row_splits: of every feature batch + 1 row splits, or an empty vector where its ids are dense.
learning_rate: for the gradient: a rate for every slice of every table, in table order.
update_time: for the gradient: seconds; becomes the update time of the entries.
global_step: for the gradient: the training step.
outputs: [batch, width], or [batch, length, width] of features that keep their first fids apart.
)doc",
                      kCombinedAttrDoc));

REGISTER_OP("MonolithMultiHashTableCombinedOptimize")
    .Input("mtable: resource")
    .Input("ids: N * int64")
    .Input("row_splits: N * Tsplits")
    .Input("output_gradients: M * float")
    .Input("learning_rate: float")
    .Input("update_time: int64")
    .Input("global_step: int64")
    .Output("updated_table: resource")
    .MONOLITH_COMBINED_ATTRS.SetIsStateful()
    .SetShapeFn(OptimizeShapes)
    .Doc(absl::StrCat(R"doc(
Takes the gradients of MonolithMultiHashTableCombinedLookup's outputs back through the combiners, sums them over equal
fids of a table, in the order of features, rows and places in a row, and takes one optimizer step for each fid. The
result does not depend on the threads. Fids that first_n dropped get gradient 0. Occurrence filters count a fid once.

mtable: the tables.
ids: as the lookup had them.
row_splits: as the lookup had them.
output_gradients: of every output a gradient of its shape.
learning_rate: a rate for every slice of every table, in table order.
update_time: seconds; becomes the update time of the entries.
global_step: the training step.
updated_table: `mtable`, to order later reads after the update.
)doc",
                      kCombinedAttrDoc));

REGISTER_OP("MonolithCombinedGradientNorm")
    .Input("ids: N * int64")
    .Input("row_splits: N * Tsplits")
    .Input("output_gradients: M * float")
    .Output("norm: float")
    .MONOLITH_COMBINED_ATTRS.SetShapeFn(CheckGradients)
    .Doc(absl::StrCat(R"doc(
The norm of the gradients of all embeddings of a MonolithMultiHashTableCombinedLookup: of every occurrence of a fid by
itself, as if embeddings had been looked up one by one and combined afterwards. It is what clipping by a global norm adds
to the norm of dense gradients. The number of threads does not change a bit.

ids: as the lookup had them.
row_splits: as the lookup had them.
output_gradients: of every output a gradient of its shape.
norm: a scalar.
)doc",
                      kCombinedAttrDoc));

}  // namespace monolith
