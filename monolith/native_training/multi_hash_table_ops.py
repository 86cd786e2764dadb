# SPDX-License-Identifier: Apache-2.0
"""Several named embedding tables behind one resource: one op reads or writes all of them.

A write returns a shallow copy of the table; reads made through the copy are ordered after the write:

    table = MultiHashTable.from_configs({"user": config, "item": config})
    table = table.assign_add({"user": (ids, values)})
    embeddings = table.lookup({"user": ids})["user"]          # [len(ids), dim], after the write

In graphs, the session must run `table.initializer` (or `tf.compat.v1.tables_initializer()`) first. Eagerly, the tables
exist at once.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from monolith.native_training import distributed_serving_ops
from monolith.native_training import entry
from monolith.native_training import graph_meta
from monolith.native_training import hash_filter_ops
from monolith.native_training import multi_hash_table_ops_pb2
from monolith.native_training import multi_type_hash_table
from monolith.native_training import _table_gradients  # noqa: F401  (registers them)
from monolith.native_training._fused_table_ops import FusedEmbeddings
from monolith.native_training._multi_table_config import CachedConfig, convert_to_cached_config, infer_dims
from monolith.native_training._table_arguments import (
  all_learning_rates,
  graph_seed,
  request_time,
  unique_eager_name,
)
from monolith.native_training._stacked_ids import concat_1d_tensors, flatten_n_tensors, get_list_from_flat_value
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf
from tensorflow.python.framework import ops as framework_ops

__all__ = [
  "CachedConfig",
  "MultiHashTable",
  "MultiHashTableCheckpointRestorerListener",
  "MultiHashTableCheckpointSaverListener",
  "MultiHashTableMetadata",
  "MultiHashTableRestorerSaverListener",
  "RawMultiTypeHashTable",
  "concat_1d_tensors",
  "convert_to_cached_config",
  "flatten_n_tensors",
  "get_list_from_flat_value",
  "infer_dims",
]

_MULTI_HASH_TABLE_GRAPH_KEY = "monolith_multi_hash_tables"
_TIMEOUT_IN_MS = 3600000
_SHARED_NAME_PREFIX = "MonolithMultiHashTable_"

IdsAndValues = Mapping[str, tuple[tf.Tensor, tf.Tensor]]


class MultiHashTableMetadata:
  """Names of the tables that a graph has already."""

  def __init__(self) -> None:
    self.name_set: set[str] = set()


class RawMultiTypeHashTable(abc.ABC):
  """Tables that take ids as one ragged tensor and values flat."""

  @abc.abstractmethod
  def get_ragged_id(self, slot_to_id: Mapping[str, tf.Tensor]) -> tf.RaggedTensor:
    """One row of ids a table, in sorted name order; absent slots are empty rows."""

  @abc.abstractmethod
  def get_flat_value(self, slot_to_value: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The values of all tables in sorted name order, flat."""

  @abc.abstractmethod
  def get_embeddings(self, ragged_id: tf.RaggedTensor, value: tf.Tensor) -> dict[str, tf.Tensor]:
    """Cuts flat values into `[ids, dim]` for each table."""

  @abc.abstractmethod
  def raw_lookup(self, ragged_id: tf.RaggedTensor) -> tf.Tensor:
    """Reads embeddings, float32 flat; absent fids give zeros."""

  @abc.abstractmethod
  def raw_apply_gradients(
    self, ragged_id: tf.RaggedTensor, flat_grad: tf.Tensor, global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None, enable_dedup: bool = False, looked_up: Optional[tf.Tensor] = None,
  ) -> RawMultiTypeHashTable:  # fmt: skip
    """Takes optimizer steps; `looked_up` are the embeddings that the gradients were computed from, flat as they are."""

  @abc.abstractmethod
  def raw_assign(
    self, ragged_id: tf.RaggedTensor, flat_value: tf.Tensor, req_time: Optional[tf.Tensor] = None
  ) -> RawMultiTypeHashTable:
    """Overwrites embeddings."""


def _shared_name(name_suffix: str) -> str:
  name = _SHARED_NAME_PREFIX + name_suffix
  if tf.executing_eagerly():
    return unique_eager_name(name)
  meta = graph_meta.get_meta("multi_hash_table_metadata", MultiHashTableMetadata)
  if name in meta.name_set:
    raise ValueError(f"the graph has a multi hash table {name!r} already; give this one another name_suffix.")
  meta.name_set.add(name)
  return name


def _flat_ids(ids: tf.Tensor) -> tf.Tensor:
  ids = tf.cast(ids, tf.int64)
  return ids if ids.shape.rank == 1 else tf.reshape(ids, [-1])


class MultiHashTable(RawMultiTypeHashTable, multi_type_hash_table.BaseMultiTypeHashTable):
  """Named tables behind one resource.

  Use `from_configs`, `from_cached_config` or `from_proto` to make one.

  Args:
    cc: the tables.
    hash_filter: handle of the occurrence filter; default one that admits everything.
    sync_client: handle of the parameter-sync client; default one that sends nothing.
    learning_rate_list: rates of all slices in sorted table order; default what the configs say.
    name_suffix: the resource is shared as `MonolithMultiHashTable_<suffix>`, which is also the name of its files.
    saver_parallel: number of files of a save; below 1 the save decides by size.
    table_proto: makes a table that stands for one of another graph.
    import_scope: the name scope under which that graph was imported.
    device: where the tables live; servers add their job and task.

  Raises:
    ValueError: the graph has a table of that suffix.
  """

  def __init__(
    self,
    cc: Optional[CachedConfig] = None,
    hash_filter: Optional[tf.Tensor] = None,
    sync_client: Optional[tf.Tensor] = None,
    learning_rate_list: Optional[list[Any]] = None,
    name_suffix: str = "",
    saver_parallel: int = -1,
    table_proto: Optional[multi_hash_table_ops_pb2.MultiHashTableProto] = None,
    import_scope: Optional[str] = None,
    device: str = "/device:CPU:0",
  ):
    if table_proto is not None:
      self._init_from_proto(table_proto, import_scope)
      return
    if cc is None:
      raise ValueError("MultiHashTable: neither cc nor table_proto is given; use MultiHashTable.from_configs.")
    self._configs: Mapping[str, entry.HashTableConfigInstance] = cc.configs
    self._table_names = list(cc.table_names)
    self._dims = list(cc.dims)
    self._slot_expire_time_config = cc.slot_expire_time_config
    self._saver_parallel = saver_parallel
    self._shared_name = _shared_name(name_suffix)
    self._learning_rate_list = learning_rate_list
    with tf.device(device):
      self._create(cc, hash_filter, sync_client)
      trains = not tf.executing_eagerly() and not export_context.is_exporting()
      self._learning_rate_tensor = self._current_learning_rates() if trains else None
    if not tf.executing_eagerly():
      tf.compat.v1.add_to_collection(_MULTI_HASH_TABLE_GRAPH_KEY, self)

  def _create(self, cc: CachedConfig, hash_filter: Optional[tf.Tensor], sync_client: Optional[tf.Tensor]) -> None:
    if hash_filter is None:
      hash_filter = hash_filter_ops.create_dummy_hash_filter()
    if sync_client is None:
      sync_client = distributed_serving_ops.create_dummy_sync_client()
    created = gen_monolith_ops.create_monolith_multi_hash_table(
      tf.constant(cc.mconfig), hash_filter, sync_client, seed=graph_seed(), shared_name=self._shared_name
    )
    if tf.executing_eagerly():
      self._handle, self._initializer = created, None
      return
    self._handle = gen_monolith_ops.read_monolith_multi_hash_table(shared_name=self._shared_name)
    self._initializer = created.op
    # The local initializer runs these: every session creates the tables, also one that restores and so never runs the
    # global initializer.
    tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.TABLE_INITIALIZERS, self._initializer)

  @classmethod
  def from_cached_config(
    cls,
    cc: CachedConfig,
    hash_filter: Optional[tf.Tensor] = None,
    sync_client: Optional[tf.Tensor] = None,
    name_suffix: str = "",
    saver_parallel: int = -1,
  ) -> MultiHashTable:
    """Makes the tables of a serialized configuration."""
    return cls(cc, hash_filter, sync_client, name_suffix=name_suffix, saver_parallel=saver_parallel)

  @classmethod
  def from_configs(
    cls,
    configs: Mapping[str, entry.HashTableConfigInstance],
    hash_filter: Optional[tf.Tensor] = None,
    sync_client: Optional[tf.Tensor] = None,
    name_suffix: str = "",
    saver_parallel: int = -1,
  ) -> MultiHashTable:
    """Makes a table for every name of `configs`.

    Raises:
      ValueError: there are no tables, a table has no slices, or not one learning rate for each.
    """
    cc = convert_to_cached_config(dict(configs))
    return cls.from_cached_config(cc, hash_filter, sync_client, name_suffix, saver_parallel)

  # Properties.

  @property
  def table_names(self) -> list[str]:
    """Sorted."""
    return self._table_names

  @property
  def handle(self) -> tf.Tensor:
    return self._handle

  @property
  def shared_name(self) -> str:
    """Name of the resource and of its files."""
    return self._shared_name

  @property
  def saver_parallel(self) -> int:
    return self._saver_parallel

  @property
  def initializer(self) -> Optional[tf.Operation]:
    """Creates the tables; None for one made eagerly, which exists already."""
    return self._initializer

  def get_table_dim_sizes(self) -> list[int]:
    """Embedding widths in the order of `table_names`."""
    return self._dims

  def learning_rates(self) -> tf.Tensor:
    """The rates that a step uses, float32, one a slice in the order of `table_names`: in a graph those that it was made
    with, else what the functions say now."""
    rates = self._learning_rate_tensor
    return self._current_learning_rates() if rates is None else rates

  def with_handle(self, handle: tf.Tensor) -> MultiHashTable:
    """A copy whose reads and writes go through `handle`: what an op that wrote these tables returned."""
    return self._copy_with(handle)

  def as_op(self, name: Optional[str] = None) -> tf.Operation | tf.Tensor:
    """The op that made this copy's handle: it has run when the write behind this copy has.

    Of a handle made eagerly, whose write has been done, the handle itself.
    """
    del name
    return self._handle.op if tf.is_symbolic_tensor(self._handle) else self._handle

  # Dicts of slot -> tensors.

  def lookup(self, slot_to_id: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Reads embeddings: for each slot asked `[n, dim]` of its int64 ids `[n]`. Absent fids give zeros.

    Raises:
      KeyError: there is no such slot.
    """
    self._check_slots(slot_to_id)
    if not slot_to_id:
      return {}
    tables = self._positions(slot_to_id)
    embeddings = gen_monolith_ops.monolith_multi_hash_table_lookup_slots(
      self._handle,
      [_flat_ids(ids) for ids in slot_to_id.values()],
      tables=tables,
      dims=[self._dims[table] for table in tables],
    )
    return dict(zip(slot_to_id, embeddings, strict=True))

  def lookup_entry(self, slot_to_id: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Reads whole entries: for each slot asked serialized EntryDumps `[n]`, empty where the fid is absent.

    Raises:
      KeyError: there is no such slot.
    """
    self._check_slots(slot_to_id)
    ragged_id = self.get_ragged_id(slot_to_id)
    entries = gen_monolith_ops.monolith_multi_hash_table_lookup_entry(
      self._handle, ragged_id.values, ragged_id.row_splits
    )
    rows = tf.split(entries, ragged_id.row_lengths(), num=len(self._table_names))
    by_name = dict(zip(self._table_names, rows, strict=True))
    return {slot: by_name[slot] for slot in slot_to_id}

  def assign(
    self,
    slot_to_id_and_value: IdsAndValues,
    req_time: Optional[tf.Tensor] = None,
    enable_inter_table_parallelism: bool = False,
  ) -> MultiHashTable:
    """Overwrites embeddings; `req_time` is int64 seconds. Tables are always written in parallel.

    Raises:
      KeyError: there is no such slot.
    """
    del enable_inter_table_parallelism
    return self.raw_assign(*self._raw_arguments(slot_to_id_and_value), req_time=req_time)

  def assign_add(self, slot_to_id_and_value: IdsAndValues, req_time: Optional[tf.Tensor] = None) -> MultiHashTable:
    """Adds to embeddings; fresh entries are initialised first.

    Raises:
      KeyError: there is no such slot.
    """
    ragged_id, flat_value = self._raw_arguments(slot_to_id_and_value)
    return self._copy_with(
      gen_monolith_ops.monolith_multi_hash_table_assign_add(
        self._handle, ragged_id.values, ragged_id.row_splits, flat_value, request_time(req_time)
      )
    )

  def apply_gradients(
    self,
    slot_to_id_and_grad: IdsAndValues,
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
    enable_dedup: bool = False,
    *,
    looked_up: Optional[Mapping[str, tf.Tensor]] = None,
  ) -> MultiHashTable:
    """Takes optimizer steps: one an occurrence, or with `enable_dedup` one a fid with its gradients summed.

    Args:
      slot_to_id_and_grad: slot -> int64 `[n]` and float32 `[n, dim]`.
      global_step: int64 scalar, the training step.
      req_time: int64 seconds; becomes the update time of the entries.
      enable_dedup: sum the gradients of equal fids first.
      looked_up: slot -> float32 `[n, dim]`, the embeddings that the gradients were computed from: of slots with an
        `entry.DcOptimizer`.

    Raises:
      KeyError: there is no such slot.
    """
    self._check_slots(slot_to_id_and_grad)
    if not slot_to_id_and_grad:
      return self
    nothing = tf.zeros([0], tf.float32)
    return self._copy_with(
      gen_monolith_ops.monolith_multi_hash_table_optimize_slots(
        self._handle,
        [_flat_ids(ids) for ids, _ in slot_to_id_and_grad.values()],
        [tf.cast(gradient, tf.float32) for _, gradient in slot_to_id_and_grad.values()],
        self.learning_rates(),
        request_time(req_time),
        tf.cast(global_step, tf.int64),
        [looked_up.get(slot, nothing) for slot in slot_to_id_and_grad] if looked_up else [],
        tables=self._positions(slot_to_id_and_grad),
        enable_dedup=enable_dedup,
      )
    )

  def reinitialize(self, slot: str, ids: tf.Tensor) -> tuple[MultiHashTable, tf.Tensor]:
    """Gives fids first values again; beside the table int32 status: 1 existed, 0 inserted, all -1 for no such slot."""
    handle, status = gen_monolith_ops.monolith_multi_hash_table_reinitialize(
      self._handle, slot, tf.cast(tf.convert_to_tensor(ids), tf.int64)
    )
    return self._copy_with(handle), status

  # Ragged ids and flat values.

  def get_ragged_id(self, slot_to_id: Mapping[str, tf.Tensor]) -> tf.RaggedTensor:
    empty = tf.zeros([0], tf.int64)
    rows = [slot_to_id.get(name) for name in self._table_names]
    rows = [empty if row is None else _flat_ids(row) for row in rows]
    return concat_1d_tensors(*rows)

  def get_flat_value(self, slot_to_value: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Values in sorted name order, flat; slots that these tables lack are left out: other servers may have them."""
    values = [slot_to_value[name] for name in self._table_names if name in slot_to_value]
    if not values:
      return tf.zeros([0], tf.float32)
    return flatten_n_tensors(*[tf.cast(value, tf.float32) for value in values])

  def get_embeddings(self, ragged_id: tf.RaggedTensor, value: tf.Tensor) -> dict[str, tf.Tensor]:
    return dict(zip(self._table_names, get_list_from_flat_value(ragged_id, self._dims, value), strict=True))

  def raw_lookup(self, ragged_id: tf.RaggedTensor) -> tf.Tensor:
    return gen_monolith_ops.monolith_multi_hash_table_lookup(self._handle, ragged_id.values, ragged_id.row_splits)

  def raw_apply_gradients(
    self,
    ragged_id: tf.RaggedTensor,
    flat_grad: tf.Tensor,
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
    enable_dedup: bool = False,
    looked_up: Optional[tf.Tensor] = None,
  ) -> MultiHashTable:
    optimize, arguments = gen_monolith_ops.monolith_multi_hash_table_optimize, []
    if looked_up is not None:
      optimize, arguments = gen_monolith_ops.monolith_multi_hash_table_optimize_delayed, [looked_up]
    return self._copy_with(
      optimize(
        self._handle,
        ragged_id.values,
        ragged_id.row_splits,
        flat_grad,
        self.learning_rates(),
        request_time(req_time),
        tf.cast(global_step, tf.int64),
        *arguments,
        enable_dedup=enable_dedup,
      )
    )

  def raw_assign(
    self, ragged_id: tf.RaggedTensor, flat_value: tf.Tensor, req_time: Optional[tf.Tensor] = None
  ) -> MultiHashTable:
    return self._copy_with(
      gen_monolith_ops.monolith_multi_hash_table_assign(
        self._handle, ragged_id.values, ragged_id.row_splits, flat_value, request_time(req_time)
      )
    )

  # The fused layout of synchronous training: see _fused_table_ops.

  def fused_lookup(
    self, ids: tf.Tensor, fused_slot_size: tf.Tensor, num_of_shards: int, req_time: Optional[tf.Tensor] = None
  ) -> FusedEmbeddings:
    """Reads embeddings for several shards; absent fids give zeros.

    Args:
      ids: int64: shard after shard, table after table in the order of `table_names`.
      fused_slot_size: int32 `[shards * tables]`, the number of ids of each table of each shard.
      num_of_shards: the number of shards.
      req_time: not used.
    """
    return FusedEmbeddings(
      *gen_monolith_ops.monolith_multi_hash_table_fused_lookup(
        self._handle, ids, fused_slot_size, request_time(req_time), num_of_shards=num_of_shards
      )
    )

  def fused_apply_gradient(
    self,
    ids: tf.Tensor,
    indices: tf.Tensor,
    fused_slot_size: tf.Tensor,
    id_grads: tf.Tensor,
    id_offsets: tf.Tensor,
    grad_offsets: tf.Tensor,
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor],
    num_of_shards: int,
    enable_grad_accumulation: bool = False,
  ) -> MultiHashTable:
    """Takes the optimizer steps of several shards.

    Args:
      ids: int64, as for `fused_lookup`.
      indices: int64, what the lookup returned.
      fused_slot_size: int32 `[shards * tables]`.
      id_grads: float32, flat.
      id_offsets: int32 `[shards * tables]` or one more, where the ids of each part begin.
      grad_offsets: int32 `[shards * tables]` or one more, where the gradients of each part begin.
      global_step: int64.
      req_time: int64 seconds.
      num_of_shards: the number of shards.
      enable_grad_accumulation: sum the gradients of equal fids of a table, over all shards, and take one step.
    """
    return self._copy_with(
      gen_monolith_ops.monolith_multi_hash_table_fused_optimize(
        self._handle,
        ids,
        indices,
        fused_slot_size,
        id_grads,
        id_offsets,
        grad_offsets,
        self.learning_rates(),
        request_time(req_time),
        tf.cast(global_step, tf.int64),
        num_of_shards=num_of_shards,
        enable_grad_accumulation=enable_grad_accumulation,
      )
    )

  # Files.

  def save(self, basename: str | tf.Tensor) -> MultiHashTable:
    """Writes one consistent cut of all tables to `<basename>-00000-of-0000N` and `<basename>.meta-...`."""
    return self._copy_with(
      gen_monolith_ops.monolith_multi_hash_table_save(self._handle, basename, nshards=self._saver_parallel)
    )

  def restore(self, basename: str | tf.Tensor, shard_index: int = 0, num_shards: int = 1) -> MultiHashTable:
    """Replaces what the tables hold by what was saved.

    Args:
      basename: string, scalar or `[n]`: what was saved under several names is put together.
      shard_index: which shard these tables are.
      num_shards: only fids with unsigned(fid) mod num_shards == shard_index are kept.
    """
    return self._copy_with(
      gen_monolith_ops.monolith_multi_hash_table_restore(
        self._handle, basename, shard_index=shard_index, num_shards=num_shards
      )
    )

  def feature_stat(self, basename: str | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the names (string `[t]`) and entry counts (uint64 `[t]`) of saved tables."""
    return gen_monolith_ops.monolith_multi_hash_table_feature_stat(basename)

  # Tensors, for frameworks that keep their own files.

  def export_entries(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Reads all in one cut: of tables names (string `[t]`) and counts (int64 `[t]`), and EntryDumps (string `[n]`)."""
    return gen_monolith_ops.monolith_multi_hash_table_export(self._handle)

  def import_entries(self, table_names: tf.Tensor, counts: tf.Tensor, entries: tf.Tensor) -> MultiHashTable:
    """Replaces what the tables hold by what `export_entries` read; a table that is not named ends up empty."""
    return self._copy_with(
      gen_monolith_ops.monolith_multi_hash_table_import(self._handle, table_names, counts, entries)
    )

  # Meta graphs.

  def to_proto(self, export_scope: Optional[str] = None) -> Optional[multi_hash_table_ops_pb2.MultiHashTableProto]:
    """Describes this table by the names of its tensors; None if it lies outside `export_scope`.

    Raises:
      ValueError: the table was made eagerly.
    """
    if self._initializer is None:
      raise ValueError(f"multi hash table {self._shared_name!r} was made eagerly; only tables of a graph have a proto.")
    if export_scope and not self._handle.name.startswith(export_scope.rstrip("/") + "/"):
      return None
    proto = multi_hash_table_ops_pb2.MultiHashTableProto(
      dims=self._dims,
      slot_expire_time_config=self._slot_expire_time_config,
      table_names=self._table_names,
      shared_name=self._shared_name,
      saver_parallel=self._saver_parallel,
      initializer_op=framework_ops.strip_name_scope(self._initializer.name, export_scope),
      handle_tensor=framework_ops.strip_name_scope(self._handle.name, export_scope),
    )
    if self._learning_rate_tensor is not None:
      proto.learning_rate_tensor = framework_ops.strip_name_scope(self._learning_rate_tensor.name, export_scope)
    return proto

  @classmethod
  def from_proto(
    cls, table_proto: multi_hash_table_ops_pb2.MultiHashTableProto, import_scope: Optional[str] = None
  ) -> MultiHashTable:
    """Makes a table that stands for the described one of the default graph."""
    return cls(table_proto=table_proto, import_scope=import_scope)

  def _init_from_proto(self, proto: multi_hash_table_ops_pb2.MultiHashTableProto, import_scope: Optional[str]) -> None:
    graph = tf.compat.v1.get_default_graph()

    def element(name: str) -> Any:
      return graph.as_graph_element(framework_ops.prepend_name_scope(name, import_scope))

    self._configs = {}
    self._dims = list(proto.dims)
    self._table_names = list(proto.table_names)
    self._slot_expire_time_config = proto.slot_expire_time_config
    self._shared_name = proto.shared_name
    self._saver_parallel = proto.saver_parallel
    self._initializer = element(proto.initializer_op)
    self._handle = element(proto.handle_tensor)
    self._learning_rate_list = None
    self._learning_rate_tensor = element(proto.learning_rate_tensor) if proto.learning_rate_tensor else None

  # Helpers.

  def _current_learning_rates(self) -> tf.Tensor:
    """Float32, one rate a slice in sorted table order."""
    if self._learning_rate_list is not None:
      return tf.stack([tf.cast(rate, tf.float32) for rate in self._learning_rate_list])
    return all_learning_rates([self._configs[name] for name in self._table_names])

  def _check_slots(self, slots: Mapping[str, Any]) -> None:
    for slot in slots:
      if slot not in self._table_names:
        known = ", ".join(self._table_names)
        raise KeyError(
          f"multi hash table {self._shared_name!r} has slots {known}, not {slot}; add it to the configs or drop it "
          "from the call."
        )

  def _positions(self, slots: Iterable[str]) -> list[int]:
    return [self._table_names.index(slot) for slot in slots]

  def _raw_arguments(self, slot_to_id_and_value: IdsAndValues) -> tuple[tf.RaggedTensor, tf.Tensor]:
    self._check_slots(slot_to_id_and_value)
    ids = {slot: pair[0] for slot, pair in slot_to_id_and_value.items()}
    values = {slot: pair[1] for slot, pair in slot_to_id_and_value.items()}
    return self.get_ragged_id(ids), self.get_flat_value(values)

  def _copy_with(self, handle: tf.Tensor) -> MultiHashTable:
    copied = copy.copy(self)
    copied._handle = handle
    return copied


framework_ops.register_proto_function(
  _MULTI_HASH_TABLE_GRAPH_KEY,
  proto_type=multi_hash_table_ops_pb2.MultiHashTableProto,
  to_proto=MultiHashTable.to_proto,
  from_proto=MultiHashTable.from_proto,
)

# The listeners work on the tables of a graph's collection, so they come last.
from monolith.native_training._multi_table_listeners import (  # noqa: E402
  MultiHashTableCheckpointRestorerListener,
  MultiHashTableCheckpointSaverListener,
  MultiHashTableRestorerSaverListener,
)
