// SPDX-License-Identifier: Apache-2.0
// Ops between features and tables: deal ids out to shards, look each one up once, pool, and back.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tensorflow {
namespace {

using shape_inference::DimensionHandle;
using shape_inference::InferenceContext;
using shape_inference::ShapeAndType;
using shape_inference::ShapeHandle;

// `input` of rank >= 1 with its first dimension unknown.
absl::Status WithUnknownRows(InferenceContext* c, ShapeHandle input, ShapeHandle* out) {
  TF_RETURN_IF_ERROR(c->WithRankAtLeast(input, 1, &input));
  return c->ReplaceDim(input, 0, c->UnknownDim(), out);
}

absl::Status RequireRank(InferenceContext* c, int first_input, int last_input, int rank) {
  ShapeHandle unused;
  for (int i = first_input; i <= last_input; ++i) {
    TF_RETURN_IF_ERROR(c->WithRank(c->input(i), rank, &unused));
  }
  return absl::OkStatus();
}

absl::Status SplitByIndicesShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 0, 1));
  ShapeHandle out;
  TF_RETURN_IF_ERROR(WithUnknownRows(c, c->input(1), &out));
  DimensionHandle unused;
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(c->input(0), 0), c->Dim(c->input(1), 0), &unused));
  for (int i = 0; i < c->num_outputs(); ++i) c->set_output(i, out);
  return absl::OkStatus();
}

absl::Status SplitByIndicesGradientShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 0, 1));
  c->set_output(0, c->input(1));
  return absl::OkStatus();
}

absl::Status RaggedSplitByIndicesShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 2, 1));
  DimensionHandle unused;
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(c->input(0), 0), c->Dim(c->input(1), 0), &unused));
  const int n = c->num_outputs() / 3;
  for (int i = 0; i < n; ++i) {
    const ShapeHandle values = c->Vector(InferenceContext::kUnknownDim);
    c->set_output(i, values);
    c->set_output(n + i, c->input(2));
    c->set_output(2 * n + i, values);
  }
  return absl::OkStatus();
}

// A scalar handle of a resource that holds a vector of floats.
void SetBufferHandle(InferenceContext* c, int output) {
  c->set_output(output, c->Scalar());
  c->set_output_handle_shapes_and_types(output, {ShapeAndType(c->Vector(InferenceContext::kUnknownDim), DT_FLOAT)});
}

absl::Status UniqueKeyShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 1, 1));
  c->set_output(0, c->Vector(InferenceContext::kUnknownDim));
  c->set_output(1, c->input(1));
  c->set_output(2, c->input(0));
  c->set_output(3, c->Vector(InferenceContext::kUnknownDim));
  SetBufferHandle(c, 4);
  return absl::OkStatus();
}

absl::Status FillWithOffsetMapShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 4, 1));
  TF_RETURN_IF_ERROR(RequireRank(c, 5, 5, 0));
  SetBufferHandle(c, 0);
  return absl::OkStatus();
}

absl::Status FillWithOffsetMapGradientShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 1, 1));
  TF_RETURN_IF_ERROR(RequireRank(c, 3, 4, 1));
  c->set_output(0, c->Vector(InferenceContext::kUnknownDim));
  return absl::OkStatus();
}

absl::Status FinalizeSharedTensorShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, c->num_inputs() - 1, 0));
  PartialTensorShape shape;
  TF_RETURN_IF_ERROR(c->GetAttr("shape", &shape));
  ShapeHandle out;
  TF_RETURN_IF_ERROR(c->MakeShapeFromPartialTensorShape(shape, &out));
  c->set_output(0, out);
  return absl::OkStatus();
}

absl::Status VectorShape(InferenceContext* c) {
  c->set_output(0, c->Vector(InferenceContext::kUnknownDim));
  return absl::OkStatus();
}

// input's shape with a last dimension `dim` behind it.
absl::Status MapIdToEmbeddingShape(InferenceContext* c) {
  int n;
  TF_RETURN_IF_ERROR(c->GetAttr("num_splits", &n));
  TF_RETURN_IF_ERROR(RequireRank(c, 0, n - 1, 1));
  DimensionHandle dim = c->UnknownDim();
  for (int i = n; i < 2 * n; ++i) {
    ShapeHandle embeddings;
    TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 2, &embeddings));
    TF_RETURN_IF_ERROR(c->Merge(dim, c->Dim(embeddings, 1), &dim));
  }
  ShapeHandle out;
  TF_RETURN_IF_ERROR(c->Concatenate(c->input(2 * n), c->Vector(dim), &out));
  c->set_output(0, out);
  return absl::OkStatus();
}

absl::Status MapIdToEmbeddingGradientShape(InferenceContext* c) {
  const int n = c->num_outputs();
  TF_RETURN_IF_ERROR(RequireRank(c, 0, n - 1, 1));
  ShapeHandle grads;
  TF_RETURN_IF_ERROR(c->WithRankAtLeast(c->input(n + 1), 1, &grads));
  for (int i = 0; i < n; ++i) {
    c->set_output(i, c->Matrix(c->Dim(c->input(i), 0), c->Dim(grads, -1)));
  }
  return absl::OkStatus();
}

// [B] from the op's third input, where that is a constant.
absl::Status BatchDim(InferenceContext* c, DimensionHandle* batch) {
  ShapeHandle dense;
  TF_RETURN_IF_ERROR(c->MakeShapeFromShapeTensor(2, &dense));
  TF_RETURN_IF_ERROR(c->WithRank(dense, 1, &dense));
  *batch = c->Dim(dense, 0);
  return absl::OkStatus();
}

absl::Status ReduceShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 1, 2));
  DimensionHandle batch, unused;
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(c->input(0), 0), c->Dim(c->input(1), 0), &unused));
  TF_RETURN_IF_ERROR(BatchDim(c, &batch));
  c->set_output(0, c->Matrix(batch, c->Dim(c->input(1), 1)));
  return absl::OkStatus();
}

absl::Status ReduceGradientShape(InferenceContext* c) {
  ShapeHandle grads;
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 0, 2));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(c->num_inputs() - 1), 2, &grads));
  c->set_output(0, c->Matrix(c->Dim(c->input(0), 0), c->Dim(grads, 1)));
  return absl::OkStatus();
}

absl::Status FusedReduceSumAndSplitShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 1, 1, 2));
  std::vector<int64_t> dims;
  TF_RETURN_IF_ERROR(c->GetAttr("split_dims", &dims));
  if (static_cast<int>(dims.size()) != c->num_outputs()) {
    return absl::InvalidArgumentError("split_dims and M differ; give one width an output.");
  }
  DimensionHandle batch;
  TF_RETURN_IF_ERROR(BatchDim(c, &batch));
  for (int i = 0; i < c->num_outputs(); ++i) c->set_output(i, c->Matrix(batch, dims[i]));
  return absl::OkStatus();
}

absl::Status FusedReduceSumAndSplitGradientShape(InferenceContext* c) {
  std::vector<int64_t> dims;
  TF_RETURN_IF_ERROR(c->GetAttr("split_dims", &dims));
  int64_t width = 0;
  for (int64_t dim : dims) width += dim;
  ShapeHandle rows;
  TF_RETURN_IF_ERROR(c->WithRankAtLeast(c->input(0), 1, &rows));
  c->set_output(0, c->Matrix(c->Dim(rows, 0), width));
  return absl::OkStatus();
}

absl::Status GenSeqMaskShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(RequireRank(c, 0, 0, 1));
  int64_t length;
  TF_RETURN_IF_ERROR(c->GetAttr("max_seq_length", &length));
  DimensionHandle rows;
  if (c->ValueKnown(c->Dim(c->input(0), 0)) && c->Value(c->Dim(c->input(0), 0)) == 0) {
    return absl::InvalidArgumentError("GenSeqMask: splits is empty; row splits start with a 0.");
  }
  TF_RETURN_IF_ERROR(c->Subtract(c->Dim(c->input(0), 0), 1, &rows));
  c->set_output(0, c->Matrix(rows, length));
  return absl::OkStatus();
}

absl::Status ClipByGlobalNormShape(InferenceContext* c) {
  const int n = c->num_outputs();
  TF_RETURN_IF_ERROR(RequireRank(c, n, n + 1, 0));
  for (int i = 0; i < n; ++i) c->set_output(i, c->input(i));
  return absl::OkStatus();
}

absl::Status StaticReshapeNShape(InferenceContext* c) {
  std::vector<PartialTensorShape> shapes;
  TF_RETURN_IF_ERROR(c->GetAttr("shapes", &shapes));
  if (static_cast<int>(shapes.size()) != c->num_inputs()) {
    return absl::InvalidArgumentError(
        "MonolithStaticReshapeN: shapes and inputs differ in number; give one shape a tensor.");
  }
  for (int i = 0; i < c->num_inputs(); ++i) {
    ShapeHandle out;
    TF_RETURN_IF_ERROR(c->MakeShapeFromPartialTensorShape(shapes[i], &out));
    c->set_output(i, out);
  }
  c->set_output(c->num_inputs(), c->Vector(c->num_inputs()));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("MonolithSplitByIndices")
    .Input("indices: int64")
    .Input("input: T")
    .Output("output: num_splits * T")
    .Attr("num_splits: int >= 1")
    .Attr("T: {float, int64}")
    .SetShapeFn(SplitByIndicesShape)
    .Doc(R"doc(
Deals the rows of a tensor out to splits; rows of one split keep their order.

indices: [n], the split of each row, in [0, num_splits).
input: [n, ...].
output: num_splits tensors [?, ...].
)doc");

REGISTER_OP("MonolithSplitByIndicesGradient")
    .Input("indices: int64")
    .Input("input: float")
    .Input("grads: num_splits * float")
    .Output("output: float")
    .Attr("num_splits: int >= 1")
    .SetShapeFn(SplitByIndicesGradientShape)
    .Doc(R"doc(
Gradient of MonolithSplitByIndices with respect to its input.

indices: [n], as given to MonolithSplitByIndices.
input: [n, ...], as given to MonolithSplitByIndices; only its shape is read.
grads: one gradient a split, [?, ...].
output: [n, ...].
)doc");

REGISTER_OP("MonolithRaggedSplitByIndices")
    .Input("indices: int64")
    .Input("num: int64")
    .Input("num_split: int64")
    .Output("values: num_splits * int64")
    .Output("row_splits: num_splits * int64")
    .Output("positions: num_splits * int64")
    .Attr("num_splits: int >= 1")
    .SetShapeFn(RaggedSplitByIndicesShape)
    .Doc(R"doc(
Deals the values of a ragged tensor out to splits; each split has all the rows.

indices: [n], the split of each value, in [0, num_splits).
num: [n], the values.
num_split: [r + 1], their row splits.
values: the values of each split.
row_splits: [r + 1] each.
positions: the index that each value has in `num`.
)doc");

REGISTER_OP("MonolithUniqueKeyWithValueAndOffset")
    .Input("key: int64")
    .Input("key_split: int64")
    .Output("unique_key: int64")
    .Output("unique_key_split: int64")
    .Output("value_offset: int64")
    .Output("value_offset_split: int64")
    .Output("value_buffer: resource")
    .Attr("dims: list(int)")
    .Attr("generate_buffer: bool")
    .SetIsStateful()
    .SetShapeFn(UniqueKeyShape)
    .Doc(R"doc(
Finds the distinct keys of every row, and where each one's vector goes in one flat buffer.

The buffer holds one vector an occurrence: row by row, with dims[j] floats for each key of row j.

key: [n], the keys of all rows.
key_split: [r + 1], their row splits.
unique_key: [u], every row's distinct keys in the order they were first seen.
unique_key_split: [r + 1].
value_offset: [n], the places of the vectors in floats, grouped by unique key.
value_offset_split: [u + 1], row splits of value_offset.
value_buffer: the buffer, filled with zeros; it lives as long as a handle of it. An empty handle
  where generate_buffer is false.
dims: the width of each row's vectors.
)doc");

REGISTER_OP("MonolithFillWithOffsetMap")
    .Input("pos: int64")
    .Input("pos_split: int64")
    .Input("value: float")
    .Input("value_offset_map: int64")
    .Input("value_offset_map_split: int64")
    .Input("value_buffer: resource")
    .Output("out_value_buffer: resource")
    .Attr("dims: list(int)")
    .SetIsStateful()
    .SetShapeFn(FillWithOffsetMapShape)
    .Doc(R"doc(
Copies vectors to all the places of their keys in the buffer of MonolithUniqueKeyWithValueAndOffset.

pos: [p], the unique key that each vector belongs to, by its number.
pos_split: [r + 1], row splits of pos.
value: flat floats, dims[j] for every pos of row j.
value_offset_map: [n], value_offset of the unique op.
value_offset_map_split: [u + 1], value_offset_split of the unique op.
value_buffer: the buffer of the unique op.
out_value_buffer: the same buffer; using it orders a later read after this write.
)doc");

REGISTER_OP("MonolithFillWithOffsetMapGradient")
    .Input("pos: int64")
    .Input("pos_split: int64")
    .Input("grad: float")
    .Input("value_offset_map: int64")
    .Input("value_offset_map_split: int64")
    .Output("backprop: float")
    .Attr("dims: list(int)")
    .SetShapeFn(FillWithOffsetMapGradientShape)
    .Doc(R"doc(
Gradient of MonolithFillWithOffsetMap with respect to its value: sums over the places of each key.

pos: [p], as given to MonolithFillWithOffsetMap.
pos_split: [r + 1].
grad: the gradient of the buffer, flat.
value_offset_map: [n].
value_offset_map_split: [u + 1].
backprop: flat floats, dims[j] for every pos of row j.
)doc");

REGISTER_OP("MonolithFinalizeSharedTensor")
    .Input("shared_tensor_handles: num_tensors * resource")
    .Output("t: dtype")
    .Attr("shape: shape")
    .Attr("dtype: {float}")
    .Attr("num_tensors: int >= 1")
    .SetIsStateful()
    .SetShapeFn(FinalizeSharedTensorShape)
    .Doc(R"doc(
Takes the tensor out of a shared buffer once every writer is done; the buffer is gone afterwards.

shared_tensor_handles: handles of one and the same buffer, one a writer.
t: what was written, without a copy.
shape: the shape to give it, with at most one unknown dimension.
)doc");

REGISTER_OP("MonolithFusedValueRowids")
    .Input("splits: int64")
    .Output("rowids: int64")
    .SetShapeFn(VectorShape)
    .Doc(R"doc(
The row of every value of a ragged tensor.

splits: [r + 1], row splits.
rowids: [splits[r]].
)doc");

REGISTER_OP("MonolithNormalizeMergedSplit")
    .Input("row_split: int64")
    .Input("row_split_size: int32")
    .Output("output: int64")
    .SetShapeFn(VectorShape)
    .Doc(R"doc(
Makes one tensor's row splits of several ones that were laid end to end.

row_split: [s], row splits after row splits, each starting with 0.
row_split_size: [m], how many numbers each part has.
output: [s + 1 - m].
)doc");

REGISTER_OP("MonolithMapIdToEmbedding")
    .Input("ids: num_splits * int64")
    .Input("embeddings: num_splits * float")
    .Input("input: int64")
    .Output("output: float")
    .Attr("num_splits: int >= 1")
    .Attr("use_multi_threads: bool = true")
    .SetShapeFn(MapIdToEmbeddingShape)
    .Doc(R"doc(
Puts the embeddings that shards returned into the order in which ids were asked.

ids: the ids each shard looked up, [n_s]; of a repeated id the first row counts.
embeddings: the rows each shard returned, [n_s, dim].
input: the ids asked, any shape.
output: shape of input + [dim].
)doc");

REGISTER_OP("MonolithMapIdToEmbeddingGradient")
    .Input("ids: num_splits * int64")
    .Input("input: int64")
    .Input("grads: float")
    .Output("output: num_splits * float")
    .Attr("num_splits: int >= 1")
    .SetShapeFn(MapIdToEmbeddingGradientShape)
    .Doc(R"doc(
Gradient of MonolithMapIdToEmbedding with respect to embeddings: sums over an id's occurrences.

ids: the ids of each shard, [n_s].
input: the ids asked, any shape.
grads: shape of input + [dim].
output: one gradient a shard, [n_s, dim].
)doc");

REGISTER_OP("MonolithReduceSum")
    .Input("id_indices: int64")
    .Input("id_values: float")
    .Input("id_dense_shape: int64")
    .Output("output: float")
    .SetShapeFn(ReduceShape)
    .Doc(R"doc(
Sums the rows that belong to one example.

id_indices: [n, 1], the example of each row.
id_values: [n, dim].
id_dense_shape: [1], the number of examples.
output: [examples, dim]; zeros where an example has no row.
)doc");

REGISTER_OP("MonolithReduceMean")
    .Input("id_indices: int64")
    .Input("id_values: float")
    .Input("id_dense_shape: int64")
    .Output("output: float")
    .SetShapeFn(ReduceShape)
    .Doc(R"doc(
Averages the rows that belong to one example.

id_indices: [n, 1], the example of each row.
id_values: [n, dim].
id_dense_shape: [1], the number of examples.
output: [examples, dim]; zeros where an example has no row.
)doc");

REGISTER_OP("MonolithReduceSquareNorm")
    .Input("id_indices: int64")
    .Input("id_values: float")
    .Input("id_dense_shape: int64")
    .Output("output: float")
    .SetShapeFn(ReduceShape)
    .Doc(R"doc(
Square root of the sum of squares of the rows that belong to one example, column by column.

id_indices: [n, 1], the example of each row.
id_values: [n, dim].
id_dense_shape: [1], the number of examples.
output: [examples, dim]; zeros where an example has no row.
)doc");

REGISTER_OP("MonolithReduceSumGradient")
    .Input("id_indices: int64")
    .Input("grads: float")
    .Output("output: float")
    .SetShapeFn(ReduceGradientShape)
    .Doc(R"doc(
Gradient of MonolithReduceSum with respect to id_values.

id_indices: [n, 1].
grads: [examples, dim].
output: [n, dim].
)doc");

REGISTER_OP("MonolithReduceMeanGradient")
    .Input("id_indices: int64")
    .Input("grads: float")
    .Output("output: float")
    .SetShapeFn(ReduceGradientShape)
    .Doc(R"doc(
Gradient of MonolithReduceMean with respect to id_values.

id_indices: [n, 1].
grads: [examples, dim].
output: [n, dim].
)doc");

REGISTER_OP("MonolithReduceSquareNormGradient")
    .Input("id_indices: int64")
    .Input("id_values: float")
    .Input("grads: float")
    .Output("output: float")
    .SetShapeFn(ReduceGradientShape)
    .Doc(R"doc(
Gradient of MonolithReduceSquareNorm with respect to id_values; 0 where the norm is 0.

id_indices: [n, 1].
id_values: [n, dim].
grads: [examples, dim].
output: [n, dim].
)doc");

REGISTER_OP("MonolithFusedReduceSumAndSplit")
    .Input("id_indices: int64")
    .Input("id_values: float")
    .Input("id_dense_shape: int64")
    .Output("output: M * float")
    .Attr("M: int >= 1")
    .Attr("split_dims: list(int)")
    .SetShapeFn(FusedReduceSumAndSplitShape)
    .Doc(R"doc(
Sums the rows that belong to one example, and cuts the columns, in one pass.

id_indices: [n] or [n, 1], the example of each row.
id_values: [n, sum of split_dims].
id_dense_shape: [1], the number of examples.
output: M tensors [examples, split_dims[i]].
)doc");

REGISTER_OP("MonolithFusedReduceSumAndSplitGradient")
    .Input("id_indices: int64")
    .Input("grads: M * float")
    .Output("output: float")
    .Attr("M: int >= 1")
    .Attr("split_dims: list(int)")
    .SetShapeFn(FusedReduceSumAndSplitGradientShape)
    .Doc(R"doc(
Gradient of MonolithFusedReduceSumAndSplit with respect to id_values.

id_indices: [n] or [n, 1].
grads: M tensors [examples, split_dims[i]].
output: [n, sum of split_dims].
)doc");

REGISTER_OP("GenSeqMask")
    .Input("splits: T")
    .Output("mask: T")
    .Attr("T: {int32, int64}")
    .Attr("max_seq_length: int >= 0")
    .SetShapeFn(GenSeqMaskShape)
    .Doc(R"doc(
A mask of the positions that a row of a ragged tensor fills.

splits: [r + 1], row splits.
mask: [r, max_seq_length], ones in the first min(length, max_seq_length) places of each row.
)doc");

REGISTER_OP("MonolithClipByGlobalNorm")
    .Input("grad_list: N * float")
    .Input("global_norm: float")
    .Input("clip_norm: float")
    .Output("clipped_grad_list: N * float")
    .Attr("N: int >= 1")
    .SetShapeFn(ClipByGlobalNormShape)
    .Doc(R"doc(
Scales tensors by clip_norm / global_norm where the norm exceeds the limit; never in place.

grad_list: any shapes.
global_norm: scalar; where it is infinite or not a number, so is every result.
clip_norm: scalar, not negative.
clipped_grad_list: shapes of grad_list.
)doc");

REGISTER_OP("MonolithStaticReshapeN")
    .Input("inputs: dtypes")
    .Output("outputs: dtypes")
    .Output("sizes: int64")
    .Attr("dtypes: list(type) >= 1")
    .Attr("shapes: list(shape)")
    .Attr("enable_parallelism: bool = true")
    .Attr("cost_per_tensor: float = 1e7")
    .SetShapeFn(StaticReshapeNShape)
    .Doc(R"doc(
Reshapes many tensors to shapes that are known beforehand, in one op and without copying.

outputs: the tensors in their new shapes.
sizes: [N], how many elements each tensor has.
shapes: one a tensor, each with at most one unknown dimension.
enable_parallelism: accepted for the sake of saved graphs; nothing is copied, so nothing is split up.
cost_per_tensor: likewise.
)doc");

}  // namespace tensorflow
