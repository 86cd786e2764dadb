// SPDX-License-Identifier: Apache-2.0
// Attributes and shape functions of ops that combine features as cc/hash_table/combine_plan.h draws it.
#ifndef CC_OPS_COMBINED_SHAPES_H_
#define CC_OPS_COMBINED_SHAPES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {

// The batch that the shapes of one feature's ids and row splits tell.
inline absl::Status BatchOf(::tensorflow::shape_inference::InferenceContext* c,
                            ::tensorflow::shape_inference::ShapeHandle ids,
                            ::tensorflow::shape_inference::ShapeHandle row_splits,
                            ::tensorflow::shape_inference::DimensionHandle* batch) {
  *batch = c->UnknownDim();
  TF_RETURN_IF_ERROR(c->WithRank(row_splits, 1, &row_splits));
  const ::tensorflow::shape_inference::DimensionHandle size = c->Dim(row_splits, 0);
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

inline absl::Status BatchOfAll(::tensorflow::shape_inference::InferenceContext* c,
                               ::tensorflow::shape_inference::DimensionHandle* batch) {
  std::vector<::tensorflow::shape_inference::ShapeHandle> ids, row_splits;
  TF_RETURN_IF_ERROR(c->input("ids", &ids));
  TF_RETURN_IF_ERROR(c->input("row_splits", &row_splits));
  *batch = c->UnknownDim();
  for (size_t f = 0; f < ids.size(); ++f) {
    ::tensorflow::shape_inference::DimensionHandle own, merged;
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
inline absl::Status CombinedOutputShapes(::tensorflow::shape_inference::InferenceContext* c,
                                         std::vector<::tensorflow::shape_inference::ShapeHandle>* shapes) {
  ::tensorflow::shape_inference::DimensionHandle batch;
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

// Checks the input `output_gradients`: each as its output.
inline absl::Status CheckOutputGradients(::tensorflow::shape_inference::InferenceContext* c) {
  std::vector<::tensorflow::shape_inference::ShapeHandle> shapes, gradients;
  TF_RETURN_IF_ERROR(CombinedOutputShapes(c, &shapes));
  TF_RETURN_IF_ERROR(c->input("output_gradients", &gradients));
  ::tensorflow::shape_inference::ShapeHandle unused;
  for (size_t o = 0; o < shapes.size(); ++o) TF_RETURN_IF_ERROR(c->Merge(shapes[o], gradients[o], &unused));
  return absl::OkStatus();
}

constexpr char kCombinedAttrDoc[] = R"doc(N: features.
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

}  // namespace monolith

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

#endif  // CC_OPS_COMBINED_SHAPES_H_
