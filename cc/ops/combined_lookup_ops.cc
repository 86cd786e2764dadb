// SPDX-License-Identifier: Apache-2.0
// One op looks up and combines the fids of many features, one takes all gradients back. The attributes are the same for
// all of them; cc/hash_table/combine_plan.h draws what they describe.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;
using Status = absl::Status;

// The batch that the shapes of one feature's ids and row splits tell.
Status BatchOf(InferenceContext* c, ShapeHandle ids, ShapeHandle row_splits, DimensionHandle* batch) {
  *batch = c->UnknownDim();
  TF_RETURN_IF_ERROR(c->WithRank(row_splits, 1, &row_splits));
  const DimensionHandle size = c->Dim(row_splits, 0);
  if (!c->ValueKnown(size)) return absl::OkStatus();
  if (c->Value(size) > 0) {
    TF_RETURN_IF_ERROR(c->WithRank(ids, 1, &ids));
    return c->Subtract(size, 1, batch);
  }
  TF_RETURN_IF_ERROR(c->WithRankAtLeast(ids, 1, &ids));
  TF_RETURN_IF_ERROR(c->WithRankAtMost(ids, 2, &ids));
  if (c->RankKnown(ids)) *batch = c->Dim(ids, 0);
  return absl::OkStatus();
}

Status BatchOfAll(InferenceContext* c, DimensionHandle* batch) {
  std::vector<ShapeHandle> ids, row_splits;
  TF_RETURN_IF_ERROR(c->input("ids", &ids));
  TF_RETURN_IF_ERROR(c->input("row_splits", &row_splits));
  *batch = c->UnknownDim();
  for (size_t f = 0; f < ids.size(); ++f) {
    DimensionHandle own, merged;
    TF_RETURN_IF_ERROR(BatchOf(c, ids[f], row_splits[f], &own));
    if (!c->Merge(*batch, own, &merged).ok()) {
      return absl::InvalidArgumentError(absl::StrCat("feature ", f, " has ", c->DebugString(own),
                                                     " rows, but feature 0 ", c->DebugString(*batch),
                                                     "; all features of a call have the same batch."));
    }
    *batch = merged;
  }
  return absl::OkStatus();
}

// The shapes of all outputs for a batch.
Status OutputShapes(InferenceContext* c, std::vector<ShapeHandle>* shapes) {
  DimensionHandle batch;
  TF_RETURN_IF_ERROR(BatchOfAll(c, &batch));
  std::vector<int64_t> widths, lengths;
  int num_outputs;
  TF_RETURN_IF_ERROR(c->GetAttr("output_widths", &widths));
  TF_RETURN_IF_ERROR(c->GetAttr("output_lengths", &lengths));
  TF_RETURN_IF_ERROR(c->GetAttr("M", &num_outputs));
  if (widths.size() != static_cast<size_t>(num_outputs) || lengths.size() != widths.size()) {
    return absl::InvalidArgumentError(absl::StrCat(num_outputs, " outputs, ", widths.size(), " output_widths and ",
                                                   lengths.size(), " output_lengths; give one of each an output."));
  }
  for (int o = 0; o < num_outputs; ++o) {
    if (widths[o] < 1 || lengths[o] < 0) {
      return absl::InvalidArgumentError(absl::StrCat("output ", o, ": width is ", widths[o], " and length ", lengths[o],
                                                     "; the width must be at least 1 and the length not negative."));
    }
    shapes->push_back(lengths[o] > 0 ? c->MakeShape({batch, c->MakeDim(lengths[o]), c->MakeDim(widths[o])})
                                     : c->MakeShape({batch, c->MakeDim(widths[o])}));
  }
  return absl::OkStatus();
}

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
  TF_RETURN_IF_ERROR(OutputShapes(c, &shapes));
  for (size_t o = 0; o < shapes.size(); ++o) c->set_output(o, shapes[o]);
  return absl::OkStatus();
}

Status TrainingLookupShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckRank(c, 1, 0));
  TF_RETURN_IF_ERROR(CheckStep(c));
  return LookupShapes(c);
}

Status CheckGradients(InferenceContext* c) {
  std::vector<ShapeHandle> shapes, gradients;
  TF_RETURN_IF_ERROR(OutputShapes(c, &shapes));
  TF_RETURN_IF_ERROR(c->input("output_gradients", &gradients));
  ShapeHandle unused;
  for (size_t o = 0; o < shapes.size(); ++o) TF_RETURN_IF_ERROR(c->Merge(shapes[o], gradients[o], &unused));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

Status OptimizeShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckRank(c, 0, 0));
  TF_RETURN_IF_ERROR(CheckStep(c));
  return CheckGradients(c);
}

constexpr char kAttrDoc[] = R"doc(N: features.
M: outputs.
Tsplits: type of the row splits.
tables: of every feature the number of its table.
combiners: of every feature sum, mean or first_n.
max_seq_lengths: of every feature the positions of first_n; 0 for the others.
slice_features: of every slice the feature whose embedding it is a part of.
slice_begins: of every slice the first column of that embedding.
slice_dims: of every slice its columns.
slice_outputs: of every slice the output that it goes to.
slice_columns: of every slice the first column there. Every column of an output belongs to exactly one slice.
output_widths: of every output its columns.
output_lengths: of every output its positions, the max_seq_length of its features; 0 without positions.
)doc";

}  // namespace

#define MONOLITH_COMBINED_ATTRS           \
  Attr("N: int >= 1")                     \
      .Attr("M: int >= 1")                \
      .Attr("Tsplits: {int32, int64}")    \
      .Attr("tables: list(int)")          \
      .Attr("combiners: list(string)")    \
      .Attr("max_seq_lengths: list(int)") \
      .Attr("slice_features: list(int)")  \
      .Attr("slice_begins: list(int)")    \
      .Attr("slice_dims: list(int)")      \
      .Attr("slice_outputs: list(int)")   \
      .Attr("slice_columns: list(int)")   \
      .Attr("output_widths: list(int)")   \
      .Attr("output_lengths: list(int)")

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
                      kAttrDoc));

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
                      kAttrDoc));

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
                      kAttrDoc));

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
                      kAttrDoc));

}  // namespace monolith
