// SPDX-License-Identifier: Apache-2.0
// Ops over one table.
#include "cc/ops/table_shapes.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;
using Status = absl::Status;

DimensionHandle NumElements(InferenceContext* c, ShapeHandle shape) {
  if (c->RankKnown(shape) && c->Rank(shape) == 1) return c->Dim(shape, 0);
  return c->NumElements(shape);
}

}  // namespace

REGISTER_OP("MonolithHashTable")
    .Input("filter_handle: resource")
    .Input("sync_client_handle: resource")
    .Output("handle: resource")
    .Attr("config: string")
    .Attr("seed: int = 0")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0, 0}));
      c->set_output(0, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
Creates the table of a serialized EmbeddingHashTableConfig, or returns the one that the shared name already has.

filter_handle: the occurrence filter that writes of absent fids ask.
sync_client_handle: the parameter-sync client.
handle: a handle to the table.
config: a serialized monolith.hash_table.EmbeddingHashTableConfig.
seed: seed of random initial values; a value depends on seed, slice and fid only.
)doc");

REGISTER_OP("MonolithHashTableLookup")
    .Input("table_handle: resource")
    .Input("ids: int64")
    .Output("embeddings: float")
    .Attr("dim_size: int >= 1")
    .Attr("use_multi_threads: bool = false")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0}));
      int64_t dim;
      TF_RETURN_IF_ERROR(c->GetAttr("dim_size", &dim));
      c->set_output(0, c->Matrix(NumElements(c, c->input(1)), dim));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Reads embeddings; absent fids give zeros and are not inserted.

table_handle: the table.
ids: fids of any shape, read flat.
embeddings: [number of ids, dim_size].
dim_size: the width of the table.
use_multi_threads: divide the ids among the framework's threads; the result is the same.
)doc");

REGISTER_OP("MonolithHashTableLookupEntry")
    .Input("table_handle: resource")
    .Input("ids: int64")
    .Output("entry_str: string")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0}));
      c->set_output(0, c->Vector(NumElements(c, c->input(1))));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Reads whole entries, optimizer state included.

table_handle: the table.
ids: fids of any shape, read flat.
entry_str: an EntryDump without its id for every fid; empty where the fid is absent.
)doc");

REGISTER_OP("MonolithHashTableLookupGradient")
    .Input("id_indices: int64")
    .Input("id_values: int64")
    .Input("input_grads: float")
    .Output("ids: int64")
    .Output("output_grads: float")
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {2, 1, 2}));
      DimensionHandle num_ids;
      TF_RETURN_IF_ERROR(c->Merge(c->Dim(c->input(0), 0), c->Dim(c->input(1), 0), &num_ids));
      c->set_output(0, c->Vector(num_ids));
      c->set_output(1, c->Matrix(num_ids, c->Dim(c->input(2), 1)));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gives every id the gradient of the row that it was looked up for.

id_indices: [m, at least 1], the indices of a sparse tensor; the first column is the row of `input_grads`.
id_values: [m], its values.
input_grads: [b, d].
ids: `id_values`.
output_grads: [m, d], row i is input_grads[id_indices[i, 0]].
)doc");

REGISTER_OP("MonolithHashTableAssign")
    .Input("table_handle: resource")
    .Input("id_values: int64")
    .Input("id_updates: float")
    .Input("req_time: int64")
    .Output("table_handle_output: resource")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat, kFlat, 0}))
    .Doc(R"doc(
Overwrites embeddings; of a fid that comes twice the last one stays. Fresh entries keep initial optimizer state.

table_handle: the table.
id_values: fids, read flat.
id_updates: embeddings, read flat: a row as wide as the table for each fid.
req_time: seconds; becomes the update time of the entries.
table_handle_output: `table_handle`, to order later reads after the update.
)doc");

REGISTER_OP("MonolithHashTableAssignAdd")
    .Input("table_handle: resource")
    .Input("id_values: int64")
    .Input("id_updates: float")
    .Input("req_time: int64")
    .Output("table_handle_output: resource")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat, kFlat, 0}))
    .Doc(R"doc(
Adds to embeddings. A fresh entry is initialised first, so the sum contains its initial value.

table_handle: the table.
id_values: fids, read flat.
id_updates: what to add, read flat: a row as wide as the table for each fid.
req_time: seconds; becomes the update time of the entries.
table_handle_output: `table_handle`, to order later reads after the update.
)doc");

REGISTER_OP("MonolithHashTableOptimize")
    .Input("table_handle: resource")
    .Input("id_values: int64")
    .Input("id_updates: float")
    .Input("learning_rate_tensor: float")
    .Input("req_time: int64")
    .Input("global_step: int64")
    .Output("table_handle_output: resource")
    .Attr("use_multi_threads: bool = false")
    .Attr("queue_size: int = 0")
    .Attr("enable_dedup: bool = false")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat, kFlat, 1, 0, 0}))
    .Doc(R"doc(
Applies gradients. Every occurrence of a fid is one optimizer step, in order; with enable_dedup the gradients of equal
fids are summed first, in order, and make one step. Either way the result does not depend on the threads.

table_handle: the table.
id_values: fids, read flat.
id_updates: gradients, read flat: a row as wide as the table for each fid.
learning_rate_tensor: a rate for every slice.
req_time: seconds; becomes the update time of the entries.
global_step: the training step.
table_handle_output: `table_handle`, to order later reads after the update.
use_multi_threads: divide the fids among the framework's threads.
queue_size: must be 0: updates are not deferred.
enable_dedup: sum the gradients of equal fids before the step; the occurrence filter counts all of them.
)doc");

REGISTER_OP("MonolithHashTableOptimizeDelayed")
    .Input("table_handle: resource")
    .Input("id_values: int64")
    .Input("id_updates: float")
    .Input("learning_rate_tensor: float")
    .Input("req_time: int64")
    .Input("global_step: int64")
    .Input("looked_up: float")
    .Output("table_handle_output: resource")
    .Attr("use_multi_threads: bool = false")
    .Attr("queue_size: int = 0")
    .Attr("enable_dedup: bool = false")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat, kFlat, 1, 0, 0, kFlat}))
    .Doc(R"doc(
Applies gradients as MonolithHashTableOptimize does, to a table with dc optimizers too. Of equal fids whose gradients are
summed, what the first was looked up as counts.

table_handle: the table.
id_values: fids, read flat.
id_updates: gradients, read flat: a row as wide as the table for each fid.
learning_rate_tensor: a rate for every slice.
req_time: seconds; becomes the update time of the entries.
global_step: the training step.
looked_up: the embeddings that the gradients were computed from, as `id_updates`; or nothing.
table_handle_output: `table_handle`, to order later reads after the update.
use_multi_threads: divide the fids among the framework's threads.
queue_size: must be 0: updates are not deferred.
enable_dedup: sum the gradients of equal fids before the step; the occurrence filter counts all of them.
)doc");

REGISTER_OP("MonolithHashTableSize")
    .Input("table_handle: resource")
    .Output("size: int64")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({}))
    .Doc(R"doc(
Counts the entries of a table.

table_handle: the table.
size: how many there are.
)doc");

REGISTER_OP("MonolithHashTableSaveAsTensor")
    .Input("table_handle: resource")
    .Input("shard_idx: int32")
    .Input("num_shards: int32")
    .Input("limit: int64")
    .Input("offset: int64")
    .Output("new_offset: int64")
    .Output("entry: string")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0, 0, 0, 0, 0}));
      c->set_output(0, c->Scalar());
      c->set_output(1, c->Vector(InferenceContext::kUnknownDim));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Reads a table piece by piece, while others may write to it. An entry that is there all the time comes exactly once, also
if the table grows between two calls.

table_handle: the table.
shard_idx: which of the shards that the entries are divided into.
num_shards: how many there are.
limit: the most entries to return, at least 1.
offset: 0 to begin a shard, then what the last call returned.
new_offset: where to go on. It has no other meaning.
entry: serialized EntryDumps, ids included; fewer than `limit` mean that the shard has ended.
)doc");

REGISTER_OP("MonolithExtractSlotFromEntry")
    .Input("entry: string")
    .Output("slot: int32")
    .Attr("fid_v2: bool")
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {1}));
      c->set_output(0, c->Vector(c->Dim(c->input(0), 0)));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Reads the slot from the fid of every entry. What is no entry is logged and counts as fid 0.

entry: serialized EntryDumps.
slot: the slot of each.
fid_v2: true: bits 48 to 62 of the fid; false: the upper 10 bits.
)doc");

REGISTER_OP("MonolithHashTableSave")
    .Input("handle: resource")
    .Input("basename: string")
    .Output("output_handle: resource")
    .Attr("nshards: int = -1")
    .Attr("random_sleep_ms: int = 0")
    .Attr("slot_expire_time_config: string = ''")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({0}))
    .Doc(R"doc(
Writes one consistent cut of a table to <basename>-00000-of-0000N, and to <basename>.meta-00000-of-0000N how many entries
each of those has; writers wait, readers do not. Files appear under their names only when all of them are complete, and
files of an older save with another number of shards are removed.

handle: the table.
basename: path in front of the shard suffix; its directory is created.
output_handle: `handle`, once the files are there.
nshards: number of files; below 1: one for every million entries, at least 1, at most 4.
random_sleep_ms: the save begins after a random time below this, so that many tables do not all write at once.
slot_expire_time_config: a serialized SlotExpireTimeConfig; empty: the table's own.
)doc");

REGISTER_OP("MonolithHashTableRestore")
    .Input("handle: resource")
    .Input("basename: string")
    .Output("output_handle: resource")
    .Attr("shard_index: int = 0")
    .Attr("num_shards: int = 1")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat}))
    .Doc(R"doc(
Replaces the contents of a table by a saved one. The table changes only after every file has been read completely, and
found to have as many entries as its metadata says, if the save has metadata: the original system writes none.

handle: the table.
basename: one path in front of a shard suffix or several, whose entries are put together; of a fid that is found twice
  the newer update time wins.
output_handle: `handle`, once it is restored.
shard_index: which shard of the table this is.
num_shards: how many there are; only fids with unsigned(fid) mod num_shards == shard_index are kept.
)doc");

}  // namespace monolith
