// SPDX-License-Identifier: Apache-2.0
// Occurrence filters, which decide whether a fid that a table lacks gets an entry.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

// A scalar handle and a scalar basename in, a scalar handle out.
absl::Status FileShape(InferenceContext* c) {
  ShapeHandle unused;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 0, &unused));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

// Rows of `grad` [n, d], or as many flat numbers, for ids [n]: always [n, d] out.
absl::Status InterceptGradientShape(InferenceContext* c) {
  ShapeHandle ids, unused;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &ids));
  const ShapeHandle grad = c->input(2);
  DimensionHandle rows = c->Dim(ids, 0);
  DimensionHandle dim = c->UnknownDim();
  if (c->RankKnown(grad) && c->Rank(grad) == 2) {
    TF_RETURN_IF_ERROR(c->Merge(rows, c->Dim(grad, 0), &rows));
    dim = c->Dim(grad, 1);
  } else if (c->ValueKnown(rows) && c->Value(rows) > 0) {
    TF_RETURN_IF_ERROR(c->Divide(c->NumElements(grad), c->Value(rows), true, &dim));
  }
  c->set_output(0, c->Matrix(rows, dim));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("MonolithHashFilter")
    .Output("handle: resource")
    .Attr("capacity: int = 300000000")
    .Attr("split_num: int = 7")
    .Attr("config: string = ''")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Creates a filter that counts fids up to 15 over a window of the recent past, or returns the one that the shared name
already has. A fid is admitted once it has been seen as often as the threshold of its slot says.

handle: the filter.
capacity: fids it remembers, about; at least 300. Memory is taken as it is used, up to 2.8 bytes a fid.
split_num: parts of the window, at least 5; the oldest is forgotten when the newest is full.
config: a serialized SlotOccurrenceThresholdConfig with thresholds up to 15; 0 admits without counting.
)doc");

REGISTER_OP("MonolithProbabilisticFilter")
    .Output("handle: resource")
    .Attr("equal_probability: bool = false")
    .Attr("config: string = ''")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Creates a filter that admits absent fids by chance and keeps nothing, or returns the one that the shared name already
has. With c sightings and threshold t a fid is admitted with probability min(1, c / t).

handle: the filter.
equal_probability: admit with probability 1 - 0.05^(c / t) instead: the same for every sighting, and 0.95 that a fid was
  admitted by the time it has been seen t times.
config: a serialized SlotOccurrenceThresholdConfig; threshold 0 admits always.
)doc");

REGISTER_OP("MonolithDummyHashFilter")
    .Output("handle: resource")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
An occurrence filter that admits every fid at its first sighting.

handle: the filter.
)doc");

REGISTER_OP("MonolithHashFilterSave")
    .Input("handle: resource")
    .Input("basename: string")
    .Output("output_handle: resource")
    .SetIsStateful()
    .SetShapeFn(FileShape)
    .Doc(R"doc(
Writes the counts of a filter as they stand at one instant, a file for every split: <basename>-00000-of-0000S and so on.
Files appear under their names only when all of them are complete. A filter that keeps no counts writes nothing.

handle: the filter.
basename: path in front of the shard suffix; its directory is created.
output_handle: `handle`, once the files are there.
)doc");

REGISTER_OP("MonolithHashFilterRestore")
    .Input("handle: resource")
    .Input("basename: string")
    .Output("output_handle: resource")
    .SetIsStateful()
    .SetShapeFn(FileShape)
    .Doc(R"doc(
Replaces the counts of a filter by saved ones, after every file has been read completely. Fails if the saved filter has
another number of splits. A filter that keeps no counts stays as it is.

handle: the filter.
basename: path in front of the shard suffix.
output_handle: `handle`, once it is restored.
)doc");

REGISTER_OP("MonolithHashFilterInterceptGradient")
    .Input("filter_handle: resource")
    .Input("ids: int64")
    .Input("embeddings: float")
    .Output("same_embeddings: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle unused;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &unused));
      c->set_output(0, c->input(2));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Passes embeddings on; in its gradient the filter sees the ids, and what it drops gets no gradient.

filter_handle: the filter.
ids: the id of each row.
embeddings: rows, one for each id.
same_embeddings: `embeddings`.
)doc");

REGISTER_OP("MonolithHashFilterInterceptGradientGradient")
    .Input("filter_handle: resource")
    .Input("ids: int64")
    .Input("grad: float")
    .Output("filted_grad: float")
    .SetIsStateful()
    .SetShapeFn(InterceptGradientShape)
    .Doc(R"doc(
Counts one sighting for every id, in order, and sets the gradient of those that the filter drops to zero.

filter_handle: the filter; one that keeps no counts drops nothing here, for want of a table.
ids: [n], the id of each row.
grad: [n, d], or n * d numbers in another shape.
filted_grad: [n, d], the rows of `grad` or zeros.
)doc");

}  // namespace monolith
