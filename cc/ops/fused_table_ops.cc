// SPDX-License-Identifier: Apache-2.0
// Ops in the fused layout of synchronous training: K tables times N shards. `fused_slot_size[s * K + t]` is the number of
// ids that shard s has of table t; ids and rows stand shard after shard, table after table.
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "cc/ops/table_shapes.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;
using Status = absl::Status;

// Checks that sizes are a vector of tables times shards; `num_tables` is 0 if it is not known.
Status CheckSizes(InferenceContext* c, ShapeHandle sizes, int64_t num_tables, int64_t num_shards) {
  ShapeHandle vector;
  TF_RETURN_IF_ERROR(c->WithRank(sizes, 1, &vector));
  const DimensionHandle dim = c->Dim(vector, 0);
  if (!c->ValueKnown(dim)) return absl::OkStatus();
  const bool fits =
      num_tables > 0 ? c->Value(dim) == num_tables * num_shards : c->Value(dim) > 0 && c->Value(dim) % num_shards == 0;
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "fused_slot_size has ", c->Value(dim), " elements, but ",
      num_tables > 0 ? absl::StrCat(num_tables, " tables in ") : std::string("tables in "), num_shards, " shards need ",
      num_tables > 0 ? absl::StrCat(num_tables * num_shards) : std::string("a multiple of that"),
      "; pass a size for each table of each shard."));
}

// Of both families: handles, then ids, fused_slot_size and req_time.
Status FusedLookupShape(InferenceContext* c, int num_handles, int64_t num_tables) {
  int64_t num_shards;
  TF_RETURN_IF_ERROR(c->GetAttr("num_of_shards", &num_shards));
  for (int i = 0; i < num_handles; ++i) TF_RETURN_IF_ERROR(CheckRanks(c, i, {0}));
  TF_RETURN_IF_ERROR(CheckRanks(c, num_handles, {kFlat, 1, 0}));
  const ShapeHandle sizes = c->input(num_handles + 1);
  TF_RETURN_IF_ERROR(CheckSizes(c, sizes, num_tables, num_shards));
  DimensionHandle num_offsets;
  TF_RETURN_IF_ERROR(c->Add(c->Dim(sizes, 0), 1, &num_offsets));
  c->set_output(0, c->Vector(InferenceContext::kUnknownDim));
  c->set_output(1, c->Vector(num_shards));
  c->set_output(2, c->Vector(num_offsets));
  c->set_output(3, c->Vector(num_offsets));
  c->set_output(4, c->input(num_handles));
  return absl::OkStatus();
}

// Of both families: handles, then ids, indices, fused_slot_size, id_grads, id_offsets, grad_offsets,
// learning_rate_tensors, req_time and global_step; the handles come out again.
Status FusedOptimizeShape(InferenceContext* c, int num_handles, int64_t num_tables) {
  int64_t num_shards;
  TF_RETURN_IF_ERROR(c->GetAttr("num_of_shards", &num_shards));
  for (int i = 0; i < num_handles; ++i) TF_RETURN_IF_ERROR(CheckRanks(c, i, {0}));
  TF_RETURN_IF_ERROR(CheckRanks(c, num_handles, {kFlat, kFlat, 1, kFlat, 1, 1, 1, 0, 0}));
  TF_RETURN_IF_ERROR(CheckSizes(c, c->input(num_handles + 2), num_tables, num_shards));
  for (int i = 0; i < num_handles; ++i) c->set_output(i, c->Scalar());
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("MonolithHashTableFusedLookup")
    .Input("table_handles: N * resource")
    .Input("ids: int64")
    .Input("fused_slot_size: int32")
    .Input("req_time: int64")
    .Output("embeddings: float")
    .Output("embedding_splits: int32")
    .Output("id_offsets: int32")
    .Output("embedding_offsets: int32")
    .Output("indices: int64")
    .Attr("N: int >= 1")
    .Attr("num_of_shards: int >= 1")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      int num_tables;
      TF_RETURN_IF_ERROR(c->GetAttr("N", &num_tables));
      return FusedLookupShape(c, num_tables, num_tables);
    })
    .Doc(R"doc(
Reads embeddings of several tables for several shards; absent fids give zeros and are not inserted.

table_handles: the K tables.
ids: fids in the fused layout.
fused_slot_size: [K * N], the number of ids of each table of each shard.
req_time: seconds; not used.
embeddings: the rows of all ids in the order of `ids`, flat, each as wide as its table.
embedding_splits: [N], floats of each shard.
id_offsets: [K * N + 1], ids before each part, and how many there are.
embedding_offsets: [K * N + 1], floats before each part, and how many there are.
indices: `ids`.
N: the number of tables.
num_of_shards: the number of shards.
)doc");

REGISTER_OP("MonolithMultiHashTableFusedLookup")
    .Input("mtable: resource")
    .Input("ids: int64")
    .Input("fused_slot_size: int32")
    .Input("req_time: int64")
    .Output("embeddings: float")
    .Output("embedding_splits: int32")
    .Output("id_offsets: int32")
    .Output("embedding_offsets: int32")
    .Output("indices: int64")
    .Attr("num_of_shards: int >= 1")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status { return FusedLookupShape(c, 1, 0); })
    .Doc(R"doc(
Reads embeddings of several tables for several shards; absent fids give zeros and are not inserted.

mtable: the K tables.
ids: fids in the fused layout.
fused_slot_size: [K * N], the number of ids of each table of each shard.
req_time: seconds; not used.
embeddings: the rows of all ids in the order of `ids`, flat, each as wide as its table.
embedding_splits: [N], floats of each shard.
id_offsets: [K * N + 1], ids before each part, and how many there are.
embedding_offsets: [K * N + 1], floats before each part, and how many there are.
indices: `ids`.
num_of_shards: the number N of shards.
)doc");

REGISTER_OP("MonolithHashTableFusedOptimize")
    .Input("table_handles: N * resource")
    .Input("ids: int64")
    .Input("indices: int64")
    .Input("fused_slot_size: int32")
    .Input("id_grads: float")
    .Input("id_offsets: int32")
    .Input("grad_offsets: int32")
    .Input("learning_rate_tensors: float")
    .Input("req_time: int64")
    .Input("global_step: int64")
    .Output("table_handles_output: N * resource")
    .Attr("N: int >= 1")
    .Attr("num_of_shards: int >= 1")
    .Attr("enable_grad_accumulation: bool = false")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      int num_tables;
      TF_RETURN_IF_ERROR(c->GetAttr("N", &num_tables));
      return FusedOptimizeShape(c, num_tables, num_tables);
    })
    .Doc(R"doc(
Applies the gradients that several shards have for several tables. Every occurrence of a fid is one optimizer step, shard
after shard; with enable_grad_accumulation the gradients of equal fids of a table are summed over all shards and make one
step. Either way the result does not depend on the threads.

table_handles: the K tables.
ids: fids in the fused layout.
indices: what the lookup returned, or nothing; not used.
fused_slot_size: [K * N], the number of ids of each table of each shard.
id_grads: gradients, flat.
id_offsets: [K * N] or one more, where the ids of each part begin.
grad_offsets: [K * N] or one more, where the gradients of each part begin.
learning_rate_tensors: a rate for every slice of every table, in table order.
req_time: seconds; becomes the update time of the entries.
global_step: the training step.
table_handles_output: `table_handles`, to order later reads after the update.
N: the number of tables.
num_of_shards: the number of shards.
enable_grad_accumulation: sum the gradients of equal fids before the step; the occurrence filter counts all of them.
)doc");

REGISTER_OP("MonolithMultiHashTableFusedOptimize")
    .Input("mtable: resource")
    .Input("ids: int64")
    .Input("indices: int64")
    .Input("fused_slot_size: int32")
    .Input("id_grads: float")
    .Input("id_offsets: int32")
    .Input("grad_offsets: int32")
    .Input("learning_rate_tensors: float")
    .Input("req_time: int64")
    .Input("global_step: int64")
    .Output("mtable_out: resource")
    .Attr("num_of_shards: int >= 1")
    .Attr("enable_grad_accumulation: bool = false")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status { return FusedOptimizeShape(c, 1, 0); })
    .Doc(R"doc(
Applies the gradients that several shards have for several tables. Every occurrence of a fid is one optimizer step, shard
after shard; with enable_grad_accumulation the gradients of equal fids of a table are summed over all shards and make one
step. Either way the result does not depend on the threads.

mtable: the K tables.
ids: fids in the fused layout.
indices: what the lookup returned, or nothing; not used.
fused_slot_size: [K * N], the number of ids of each table of each shard.
id_grads: gradients, flat.
id_offsets: [K * N] or one more, where the ids of each part begin.
grad_offsets: [K * N] or one more, where the gradients of each part begin.
learning_rate_tensors: a rate for every slice of every table, in table order.
req_time: seconds; becomes the update time of the entries.
global_step: the training step.
mtable_out: `mtable`, to order later reads after the update.
num_of_shards: the number N of shards.
enable_grad_accumulation: sum the gradients of equal fids before the step; the occurrence filter counts all of them.
)doc");

}  // namespace monolith
