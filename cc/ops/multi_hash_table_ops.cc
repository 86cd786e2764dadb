// SPDX-License-Identifier: Apache-2.0
// Ops over several named tables at once. Stacked layout: ids table after table, `id_split` the T + 1 row splits.
#include "cc/ops/table_shapes.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using Status = absl::Status;

}  // namespace

REGISTER_OP("CreateMonolithMultiHashTable")
    .Input("config: string")
    .Input("filter_handle: resource")
    .Input("sync_client_handle: resource")
    .Output("multi_hash_table_handle: resource")
    .Attr("seed: int = 0")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0, 0, 0}));
      c->set_output(0, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
Creates the tables of a serialized MultiEmbeddingHashTableConfig, or returns those that the shared name already has.

config: a serialized monolith.hash_table.MultiEmbeddingHashTableConfig.
filter_handle: the occurrence filter that writes of absent fids ask.
sync_client_handle: the parameter-sync client.
multi_hash_table_handle: a handle to all tables.
seed: seed of random initial values; a value depends on seed, slice and fid only.
)doc");

REGISTER_OP("ReadMonolithMultiHashTable")
    .Output("multi_hash_table_handle: resource")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Makes a handle to the tables of a shared name. Whether they exist is seen when the handle is used.

multi_hash_table_handle: a handle to all tables.
)doc");

REGISTER_OP("IsHashTableInitialized")
    .Input("handle: resource")
    .Output("is_initialized: bool")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0}));
      c->set_output(0, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
Tells whether the tables behind a handle have been created.

handle: a handle from CreateMonolithMultiHashTable or ReadMonolithMultiHashTable.
is_initialized: true if they exist.
)doc");

REGISTER_OP("MonolithMultiHashTableLookup")
    .Input("mtable: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Output("embedding: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0, kFlat, 1}));
      c->set_output(0, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Reads embeddings; absent fids give zeros and are not inserted.

mtable: the tables.
id: fids, table after table.
id_split: row splits of `id`, T + 1 of them for T tables, or T * Q + 1 for Q requests after another.
embedding: the rows of all fids in the order of `id`, flat, each as wide as its table.
)doc");

REGISTER_OP("MonolithMultiHashTableLookupEntry")
    .Input("mtable: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Output("serialized_entries: string")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0, 1, 1}));
      c->set_output(0, c->input(1));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Reads whole entries, optimizer state included.

mtable: the tables.
id: fids, table after table.
id_split: row splits of `id`, T + 1 of them for T tables.
serialized_entries: an EntryDump without its id for every fid; empty where the fid is absent.
)doc");

REGISTER_OP("MonolithMultiHashTableOptimize")
    .Input("mtable: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Input("value: float")
    .Input("learning_rate: float")
    .Input("update_time: int64")
    .Input("global_step: int64")
    .Output("updated_table: resource")
    .Attr("enable_dedup: bool = false")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat, 1, kFlat, 1, 0, 0}))
    .Doc(R"doc(
Applies gradients. Every occurrence of a fid is one optimizer step, in order; with enable_dedup the gradients of equal
fids of a table are summed first, in order, and make one step. Either way the result does not depend on the threads.

mtable: the tables.
id: fids, table after table.
id_split: row splits of `id`, T + 1 of them for T tables.
value: gradients, flat, in the order of `id`, each as wide as its table.
learning_rate: a rate for every slice of every table, in table order.
update_time: seconds; becomes the update time of the entries.
global_step: the training step.
updated_table: `mtable`, to order later reads after the update.
enable_dedup: sum the gradients of equal fids before the step.
)doc");

REGISTER_OP("MonolithMultiHashTableOptimizeDelayed")
    .Input("mtable: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Input("value: float")
    .Input("learning_rate: float")
    .Input("update_time: int64")
    .Input("global_step: int64")
    .Input("looked_up: float")
    .Output("updated_table: resource")
    .Attr("enable_dedup: bool = false")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat, 1, kFlat, 1, 0, 0, kFlat}))
    .Doc(R"doc(
Applies gradients as MonolithMultiHashTableOptimize does, to tables with dc optimizers too. Of equal fids whose gradients
are summed, what the first was looked up as counts.

mtable: the tables.
id: fids, table after table.
id_split: row splits of `id`, T + 1 of them for T tables.
value: gradients, flat, in the order of `id`, each as wide as its table.
learning_rate: a rate for every slice of every table, in table order.
update_time: seconds; becomes the update time of the entries.
global_step: the training step.
looked_up: the embeddings that the gradients were computed from, as `value`; or nothing.
updated_table: `mtable`, to order later reads after the update.
enable_dedup: sum the gradients of equal fids before the step.
)doc");

REGISTER_OP("MonolithMultiHashTableAssign")
    .Input("mtable: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Input("value: float")
    .Input("update_time: int64")
    .Output("updated_table: resource")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat, 1, kFlat, 0}))
    .Doc(R"doc(
Overwrites embeddings; of a fid that comes twice the last one stays. Fresh entries keep initial optimizer state.

mtable: the tables.
id: fids, table after table.
id_split: row splits of `id`, T + 1 of them for T tables.
value: embeddings, flat, in the order of `id`, each as wide as its table.
update_time: seconds; becomes the update time of the entries.
updated_table: `mtable`, to order later reads after the update.
)doc");

REGISTER_OP("MonolithMultiHashTableAssignAdd")
    .Input("mtable: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Input("value: float")
    .Input("update_time: int64")
    .Output("updated_table: resource")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat, 1, kFlat, 0}))
    .Doc(R"doc(
Adds to embeddings. A fresh entry is initialised first, so the sum contains its initial value.

mtable: the tables.
id: fids, table after table.
id_split: row splits of `id`, T + 1 of them for T tables.
value: what to add, flat, in the order of `id`, each as wide as its table.
update_time: seconds; becomes the update time of the entries.
updated_table: `mtable`, to order later reads after the update.
)doc");

REGISTER_OP("MonolithMultiHashTableReinitialize")
    .Input("mtable: resource")
    .Input("table_name: string")
    .Input("id: int64")
    .Output("updated_table: resource")
    .Output("id_status: int32")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0, 0, 1}));
      c->set_output(0, c->Scalar());
      c->set_output(1, c->input(2));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gives fids of one table fresh first values, inserting those that are absent.

mtable: the tables.
table_name: which of them.
id: the fids.
updated_table: `mtable`, to order later reads after the update.
id_status: 1 where the fid was there, 0 where it was inserted; all -1 if no table has that name.
)doc");

REGISTER_OP("MonolithMultiHashTableSave")
    .Input("mtable: resource")
    .Input("basename: string")
    .Output("output_mtable: resource")
    .Attr("nshards: int = -1")
    .Attr("slot_expire_time_config: string = ''")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({0}))
    .Doc(R"doc(
Writes one consistent cut of all tables to <basename>-00000-of-0000N and <basename>.meta-00000-of-0000N; writers wait,
readers do not. Files appear under their names only when all of them are complete, and files of an older save with
another number of shards are removed.

mtable: the tables.
basename: path in front of the shard suffix; its directory is created.
output_mtable: `mtable`, once the files are there.
nshards: number of files; below 1: one for every million entries, at least 1, at most 4.
slot_expire_time_config: a serialized SlotExpireTimeConfig for all tables; empty: each table's own.
)doc");

REGISTER_OP("MonolithMultiHashTableRestore")
    .Input("mtable: resource")
    .Input("basename: string")
    .Output("output_mtable: resource")
    .Attr("shard_index: int = 0")
    .Attr("num_shards: int = 1")
    .SetIsStateful()
    .SetShapeFn(HandleThenRanks({kFlat}))
    .Doc(R"doc(
Replaces the contents of the tables by those of saved ones. The tables change only after every file has been read
completely; a table that the files lack ends up empty, a saved table that does not exist here is skipped; both are
logged by name.

mtable: the tables.
basename: one path in front of a shard suffix or several, whose entries are put together; of a fid that is found twice
  the newer update time wins.
output_mtable: `mtable`, once it is restored.
shard_index: which shard of the tables this is.
num_shards: how many there are; only fids with unsigned(fid) mod num_shards == shard_index are kept.
)doc");

REGISTER_OP("MonolithMultiHashTableFeatureStat")
    .Input("basename: string")
    .Output("features: string")
    .Output("counts: uint64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0}));
      const DimensionHandle tables = c->UnknownDim();
      c->set_output(0, c->Vector(tables));
      c->set_output(1, c->Vector(tables));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Counts the entries of saved tables from their metadata files.

basename: path in front of the shard suffix.
features: table names, in the order in which the files have them.
counts: entries of each, over all shards.
)doc");

}  // namespace monolith
