# SPDX-License-Identifier: Apache-2.0
"""One embedding table."""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable
from typing import Any, Callable, Optional, Union

from monolith.native_training import _table_gradients  # noqa: F401  (registers them)
from monolith.native_training import graph_meta
from monolith.native_training import hash_table_ops_pb2
from monolith.native_training._table_arguments import request_time
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf
from tensorflow.python.framework import ops as framework_ops

HASH_TABLE_GRAPH_KEY = "monolith_hash_tables"

LearningRates = Union[tf.Tensor, Callable[[], tf.Tensor]]

_SHARE_TO_PROTO = {
  None: hash_table_ops_pb2.HashTableProto.kBoolNone,
  False: hash_table_ops_pb2.HashTableProto.kFalse,
  True: hash_table_ops_pb2.HashTableProto.kTrue,
}


class BaseHashTable(abc.ABC):
  """A table of one kind of embeddings.

  Ids are int64, values and gradients float32 `[ids, dim_size]`, `req_time` int64 seconds. An update returns a new
  object whose later reads are ordered after it.
  """

  @abc.abstractmethod
  def assign(self, ids: tf.Tensor, values: tf.Tensor, req_time: Optional[tf.Tensor] = None) -> BaseHashTable:
    """Overwrites or inserts embeddings."""

  @abc.abstractmethod
  def assign_add(self, ids: tf.Tensor, values: tf.Tensor, req_time: Optional[tf.Tensor] = None) -> BaseHashTable:
    """Adds to embeddings, to first values where the fid is new."""

  @abc.abstractmethod
  def lookup(self, ids: tf.Tensor, use_multi_threads: bool = False) -> tf.Tensor:
    """Reads `[ids, dim_size]`; zeros for what the table does not hold."""

  @property
  @abc.abstractmethod
  def dim_size(self) -> int:
    """The width of the embeddings."""

  @abc.abstractmethod
  def apply_gradients(
    self, ids: tf.Tensor, grads: tf.Tensor, global_step: tf.Tensor, *, req_time: Optional[tf.Tensor] = None
  ) -> BaseHashTable:
    """Takes optimizer steps."""

  @abc.abstractmethod
  def as_op(self, name: Optional[str] = None) -> Any:
    """What a session can run: it is done when all updates behind this object are."""


class HashTableMetadata:
  """Names of the tables that a graph has already."""

  def __init__(self) -> None:
    self.name_set: set[str] = set()


class HashTable(BaseHashTable):
  """A table behind one resource. `hash_table_from_config` makes one.

  Args:
    table: the resource.
    shared_name: the name of the resource and of its files.
    dim_size: the width of its embeddings.
    slot_expire_time_config: a serialized SlotExpireTimeConfig: what a save leaves out; default what the table was made
      with.
    learning_rate_tensor: float32 `[slices]`, or a function that returns that; needed to apply gradients.
    saver_parallel: number of files of a save; below 1 the save decides by size.
    extra_restore_names: other names under which a checkpoint may hold the table.
    table_proto: makes a table that stands for one of another graph; nothing else but `import_scope` is used then.
    import_scope: the name scope under which that graph was imported.

  Attributes:
    export_share_embedding: whether an export refers to the checkpoint's files instead of copying them; None leaves it
      to the exporter.

  Raises:
    ValueError: the graph has a table of that name, or something is missing.
  """

  def __init__(
    self,
    table: Optional[tf.Tensor] = None,
    shared_name: Optional[str] = None,
    dim_size: Optional[int] = None,
    slot_expire_time_config: Optional[bytes] = None,
    learning_rate_tensor: Optional[LearningRates] = None,
    saver_parallel: int = -1,
    extra_restore_names: Optional[Iterable[str]] = None,
    table_proto: Optional[hash_table_ops_pb2.HashTableProto] = None,
    import_scope: Optional[str] = None,
  ):
    if table_proto is not None:
      self._init_from_proto(table_proto, import_scope)
      return
    if table is None or not shared_name or not dim_size:
      raise ValueError("HashTable: table, shared_name or dim_size is missing; use hash_table_from_config.")
    self._table = table
    self._shared_name = shared_name
    self._dim_size = dim_size
    self._slot_expire_time_config = slot_expire_time_config or b""
    self._learning_rates = learning_rate_tensor
    self._saver_parallel = saver_parallel
    self._extra_restore_names = list(extra_restore_names or ())
    self.export_share_embedding: Optional[bool] = None
    if not tf.executing_eagerly():
      self._join_graph()

  def _join_graph(self) -> None:
    names = self.get_metadata().name_set
    if self._shared_name in names:
      raise ValueError(f"the graph has a hash table {self._shared_name!r} already; give this one another name_suffix.")
    names.add(self._shared_name)
    tf.compat.v1.add_to_collection(HASH_TABLE_GRAPH_KEY, self)

  @classmethod
  def get_metadata(cls) -> HashTableMetadata:
    """The names that the default graph has."""
    return graph_meta.get_meta("hash_table_metadata", HashTableMetadata)

  # Properties.

  @property
  def table(self) -> tf.Tensor:
    """The resource."""
    return self._table

  @property
  def handle(self) -> tf.Tensor:
    """The same as `table`; what a multi table calls it."""
    return self._table

  @property
  def name(self) -> str:
    """The name of the resource."""
    return self._shared_name

  @property
  def dim_size(self) -> int:
    return self._dim_size

  @property
  def extra_restore_names(self) -> list[str]:
    """Other names under which a checkpoint may hold the table."""
    return self._extra_restore_names

  def as_op(self, name: Optional[str] = None) -> tf.Tensor:
    """The handle, made by the op of the last update behind this copy."""
    del name
    return self._table

  # Reads.

  def lookup(self, ids: tf.Tensor, use_multi_threads: bool = False, enable_dedup: bool = False) -> tf.Tensor:
    """Reads float32 `[ids, dim_size]`, one row an id; absent fids give zeros.

    Args:
      ids: int64 of any shape, read flat.
      use_multi_threads: divide the ids among threads.
      enable_dedup: makes no difference; accepted for existing callers.
    """
    del enable_dedup
    return gen_monolith_ops.monolith_hash_table_lookup(
      self._table, _ids(ids), dim_size=self._dim_size, use_multi_threads=use_multi_threads
    )

  def lookup_entry(self, ids: tf.Tensor) -> tf.Tensor:
    """Reads whole entries: serialized EntryDumps `[ids]`, empty where the fid is absent."""
    return gen_monolith_ops.monolith_hash_table_lookup_entry(self._table, _ids(ids))

  def size(self) -> tf.Tensor:
    """Number of entries, int64 scalar."""
    return gen_monolith_ops.monolith_hash_table_size(self._table)

  def save_as_tensor(
    self, shard_idx: tf.Tensor, num_shards: tf.Tensor, limit: tf.Tensor, offset: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads a piece of a shard of the table.

    Args:
      shard_idx: int32, which of the shards.
      num_shards: int32, how many there are.
      limit: int64, the most entries to return, at least 1.
      offset: int64; 0 to begin a shard, then what the last call returned.

    Returns:
      The offset to go on from, int64, and serialized EntryDumps, string `[<= limit]`; fewer than `limit` mean that the
      shard has ended.
    """
    piece = gen_monolith_ops.monolith_hash_table_save_as_tensor(
      self._table, tf.cast(shard_idx, tf.int32), tf.cast(num_shards, tf.int32), tf.cast(limit, tf.int64),
      tf.cast(offset, tf.int64),
    )  # fmt: skip
    return piece.new_offset, piece.entry

  # Updates.

  def assign(self, ids: tf.Tensor, values: tf.Tensor, req_time: Optional[tf.Tensor] = None) -> HashTable:
    return self.table_update(
      gen_monolith_ops.monolith_hash_table_assign(self._table, _ids(ids), _floats(values), request_time(req_time))
    )

  def assign_add(self, ids: tf.Tensor, values: tf.Tensor, req_time: Optional[tf.Tensor] = None) -> HashTable:
    return self.table_update(
      gen_monolith_ops.monolith_hash_table_assign_add(self._table, _ids(ids), _floats(values), request_time(req_time))
    )

  def apply_gradients(
    self,
    ids: tf.Tensor,
    grads: tf.Tensor,
    global_step: tf.Tensor,
    use_multi_threads: bool = False,
    enable_dedup: bool = False,
    req_time: Optional[tf.Tensor] = None,
    looked_up: Optional[tf.Tensor] = None,
  ) -> HashTable:
    """Takes optimizer steps: one an occurrence, or with `enable_dedup` one a fid with its gradients summed.

    Args:
      ids: int64 `[n]`.
      grads: float32 `[n, dim]`.
      global_step: int64 scalar, the training step.
      use_multi_threads: divide the fids among the framework's threads.
      enable_dedup: sum the gradients of equal fids first.
      req_time: int64 seconds; becomes the update time of the entries.
      looked_up: float32 `[n, dim]`, the embeddings that the gradients were computed from: for `entry.DcOptimizer`.

    Raises:
      ValueError: the table has no learning rates.
    """
    optimize, arguments = gen_monolith_ops.monolith_hash_table_optimize, []
    if looked_up is not None:
      optimize, arguments = gen_monolith_ops.monolith_hash_table_optimize_delayed, [_floats(looked_up)]
    return self.table_update(
      optimize(
        self._table,
        _ids(ids),
        _floats(grads),
        self._current_learning_rates(),
        request_time(req_time),
        tf.cast(global_step, tf.int64),
        *arguments,
        use_multi_threads=use_multi_threads,
        enable_dedup=enable_dedup,
      )
    )

  def _current_learning_rates(self) -> tf.Tensor:
    rates = self._learning_rates
    if rates is None:
      raise ValueError(f"hash table {self._shared_name!r} has no learning rates; make it with learning_rate_tensor.")
    return tf.reshape(_floats(rates() if callable(rates) else rates), [-1])

  def table_update(self, update_op: tf.Tensor) -> HashTable:
    """Returns a copy whose handle is the output of an update."""
    copied = copy.copy(self)
    copied._table = update_op
    return copied

  # Files.

  def save(self, basename: str | tf.Tensor, random_sleep_ms: int = 0) -> HashTable:
    """Writes one consistent cut of the table to `<basename>-00000-of-0000N`, and counts to `<basename>.meta-...`.

    Args:
      basename: string scalar.
      random_sleep_ms: the save begins after a random time below this, in milliseconds.
    """
    return self.table_update(
      gen_monolith_ops.monolith_hash_table_save(
        self._table,
        basename,
        nshards=self._saver_parallel,
        random_sleep_ms=random_sleep_ms,
        slot_expire_time_config=self._slot_expire_time_config,
      )
    )

  def restore(self, basename: str | tf.Tensor, shard_index: int = 0, num_shards: int = 1) -> HashTable:
    """Replaces what the table holds by what was saved.

    Args:
      basename: string, scalar or `[n]`: what was saved under several names is put together.
      shard_index: which shard this table is.
      num_shards: only fids with unsigned(fid) mod num_shards == shard_index are kept.
    """
    return self.table_update(
      gen_monolith_ops.monolith_hash_table_restore(
        self._table, basename, shard_index=shard_index, num_shards=num_shards
      )
    )

  # Meta graphs.

  def to_proto(self, export_scope: Optional[str] = None) -> Optional[hash_table_ops_pb2.HashTableProto]:
    """Describes this table by the names of its tensors; None if it lies outside `export_scope`.

    Raises:
      ValueError: the table was made eagerly.
    """
    if not tf.is_symbolic_tensor(self._table):
      raise ValueError(f"hash table {self._shared_name!r} was made eagerly; only tables of a graph have a proto.")
    if export_scope and not self._table.name.startswith(export_scope.rstrip("/") + "/"):
      return None
    proto = hash_table_ops_pb2.HashTableProto(
      table_tensor=framework_ops.strip_name_scope(self._table.name, export_scope),
      dim_size=self._dim_size,
      shared_name=self._shared_name,
      slot_expire_time_config=self._slot_expire_time_config,
      saver_parallel=self._saver_parallel,
      extra_restore_names=self._extra_restore_names,
      export_share_embedding=_SHARE_TO_PROTO[self.export_share_embedding],
    )
    if self._learning_rates is not None and not callable(self._learning_rates):
      proto.learning_rate_tensor = framework_ops.strip_name_scope(self._learning_rates.name, export_scope)
    return proto

  @staticmethod
  def from_proto(table_proto: hash_table_ops_pb2.HashTableProto, import_scope: Optional[str] = None) -> HashTable:
    """Makes a table that stands for the described one of the default graph."""
    return HashTable(table_proto=table_proto, import_scope=import_scope)

  def _init_from_proto(self, proto: hash_table_ops_pb2.HashTableProto, import_scope: Optional[str]) -> None:
    graph = tf.compat.v1.get_default_graph()

    def element(name: str) -> tf.Tensor:
      return graph.as_graph_element(framework_ops.prepend_name_scope(name, import_scope))

    self._table = element(proto.table_tensor)
    self._shared_name = proto.shared_name
    self._dim_size = proto.dim_size
    self._slot_expire_time_config = proto.slot_expire_time_config
    self._learning_rates = element(proto.learning_rate_tensor) if proto.learning_rate_tensor else None
    self._saver_parallel = proto.saver_parallel
    self._extra_restore_names = list(proto.extra_restore_names)
    (self.export_share_embedding,) = (k for k, v in _SHARE_TO_PROTO.items() if v == proto.export_share_embedding)


def _ids(ids: Any) -> tf.Tensor:
  return tf.cast(tf.convert_to_tensor(ids), tf.int64)


def _floats(values: Any) -> tf.Tensor:
  return tf.cast(tf.convert_to_tensor(values), tf.float32)


framework_ops.register_proto_function(
  HASH_TABLE_GRAPH_KEY,
  proto_type=hash_table_ops_pb2.HashTableProto,
  to_proto=HashTable.to_proto,
  from_proto=HashTable.from_proto,
)
