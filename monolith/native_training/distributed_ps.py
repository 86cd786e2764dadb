# SPDX-License-Identifier: Apache-2.0
"""Tables spread over parameter servers.

A fid lives on server `unsigned(fid) mod num_ps`. A step sends every distinct fid of a slot once to its
server and gets its vector back once; the gradients of its occurrences are summed before they are sent,
so that the optimizer takes one step a fid.
"""

from __future__ import annotations

import copy
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from monolith.native_training import distribution_ops
from monolith.native_training import entry
from monolith.native_training import fused_embedding
from monolith.native_training import hash_table_utils
from monolith.native_training import multi_type_hash_table
from monolith.native_training._dealt_lookup import DealtFids, DealtLookup, as_ragged
from monolith.native_training._distributed_hash_table import DistributedHashTable  # noqa: F401
from monolith.native_training._partitioned_hash_table import PartitionedHashTable  # noqa: F401
from monolith.native_training._servers import fid_to_shard, ps_device
from monolith.native_training.model_export import export_context

import tensorflow as tf

Configs = Dict[str, entry.HashTableConfigInstance]
TableFactory = Callable[[int, Configs], Any]  # a BaseMultiTypeHashTable with the raw interface
_IdsAndValues = Dict[str, Tuple[tf.Tensor, tf.Tensor]]


class _UniqueIds(NamedTuple):
  """The distinct fids of a step, dealt out to the servers.

  Attributes:
    ids: for each server int64 [tables, None].
    positions: beside each id its number among all distinct ones.
    value_offset: where the vectors of each distinct fid go (distribution_ops).
    value_buffer: handle of the buffer they go to, or of nothing.
  """

  ids: List[tf.RaggedTensor]
  positions: List[tf.RaggedTensor]
  value_offset: tf.RaggedTensor
  value_buffer: tf.Tensor


def stack_ids(names: Sequence[str], slot_to_id: Dict[str, tf.Tensor]) -> tf.RaggedTensor:
  """int64 [len(names), None]: a row a name, empty where `slot_to_id` lacks it."""
  empty = tf.zeros([0], tf.int64)
  rows = [tf.reshape(tf.cast(slot_to_id.get(name, empty), tf.int64), [-1]) for name in names]
  lengths = tf.stack([tf.size(row, out_type=tf.int64) for row in rows])
  return tf.RaggedTensor.from_row_lengths(tf.concat(rows, 0), lengths, validate=False)


def stack_values(names: Sequence[str], slot_to_value: Dict[str, tf.Tensor]) -> tf.Tensor:
  """Flat float32: the values of each name in order, row major."""
  parts = [tf.reshape(tf.cast(slot_to_value[name], tf.float32), [-1]) for name in names if name in slot_to_value]
  return tf.concat(parts, 0) if parts else tf.zeros([0], tf.float32)


def _first_rows(
  rows: tf.Tensor, positions: tf.RaggedTensor, value_offset: tf.RaggedTensor, dims: Sequence[int]
) -> tf.Tensor:
  """Flat float32: of distinct ids the row of their first occurrence.

  Args:
    rows: flat float32, of all occurrences.
    positions: int64 [tables, None], the number of each id among all distinct ones.
    value_offset: int64 [tables, None, None], where the rows of each distinct id begin in `rows`.
    dims: the width of each table's rows.
  """
  places = value_offset.values  # [distinct ids, None]
  begins = tf.gather(tf.gather(places.values, places.row_starts()), positions.values)
  widths = tf.repeat(tf.constant(dims, tf.int64), positions.row_lengths())
  return tf.gather(rows, tf.ragged.range(begins, begins + widths).values)


class DistributedMultiTypeHashTable(multi_type_hash_table.BaseMultiTypeHashTable):
  """A table of many slots, spread over parameter servers.

  Slots of a call that the tables lack are ignored, and are absent from the result.

  Args:
    num_ps: number of servers, at least 1.
    slot_to_config: what each slot's vectors are made of.
    table_factory: builds the table of server i, called inside ps_device(i); the table has the raw
      interface of multi_hash_table_ops.MultiHashTable.
    transfer_float16: rows travel from the servers as float16, half the bytes of a lookup: each number is rounded to the
      nearest one (relative error at most 2**-11 from 6e-5 on), and becomes infinite from 65520 on. Gradients, which
      may be far smaller, and what the tables hold stay float32.
    max_rpc_deadline_millis: for calls between exported models, which are not built yet.

  Raises:
    ValueError: an argument is out of range, or asks for what is not supported.
  """

  def __init__(
    self,
    num_ps: int,
    slot_to_config: Configs,
    table_factory: TableFactory,
    transfer_float16: bool = False,
    max_rpc_deadline_millis: int = 30,
  ):
    if num_ps < 1:
      raise ValueError(
        f"DistributedMultiTypeHashTable: num_ps is {num_ps}; give at least 1, or use "
        f"distributed_ps_factory with 0 for a local table."
      )
    if export_context.is_exporting_distributed():
      raise ValueError(
        "DistributedMultiTypeHashTable: ExportMode.DISTRIBUTED is not supported yet; "
        "export standalone (StandaloneExporter)."
      )
    self._num_ps = num_ps
    self._row_dtype = tf.float16 if transfer_float16 else tf.float32
    self._max_rpc_deadline_millis = max_rpc_deadline_millis
    self._slot_to_config = dict(slot_to_config)
    self._names = sorted(slot_to_config)
    self._dims = [hash_table_utils.infer_dim_size(slot_to_config[name]) for name in self._names]
    self._tables: List[Any] = []
    for i in range(num_ps):
      with ps_device(i):
        self._tables.append(table_factory(i, slot_to_config))
    for table in self._tables:
      if not all(hasattr(table, name) for name in ("raw_lookup", "raw_apply_gradients")):
        raise ValueError(
          f"DistributedMultiTypeHashTable: {type(table).__name__} has no raw_lookup "
          f"and raw_apply_gradients; use multi_hash_table_ops.MultiHashTable."
        )

  def _deal_out(self, slot_to_id: Dict[str, tf.Tensor], generate_buffer: bool) -> _UniqueIds:
    unique = distribution_ops.unique_key_with_value_and_offset(
      stack_ids(self._names, slot_to_id), self._dims, generate_buffer
    )
    ids, positions = distribution_ops.ragged_split_by_indices(
      fid_to_shard(unique.unique_key.values, self._num_ps), unique.unique_key, self._num_ps
    )
    return _UniqueIds(ids, positions, unique.value_offset, unique.value_buffer)

  def lookup(self, slot_to_id: Dict[str, tf.Tensor]) -> Dict[str, tf.Tensor]:
    """See BaseMultiTypeHashTable.lookup."""
    with tf.name_scope("dmtht_lookup"):
      unique = self._deal_out(slot_to_id, generate_buffer=True)
      handles = []
      for i, table in enumerate(self._tables):
        embeddings = self._rows_of(i, table, unique.ids[i])
        handles.append(
          distribution_ops.fill_with_offset_map(
            unique.positions[i], embeddings, unique.value_offset, unique.value_buffer, self._dims
          )
        )
      flat = distribution_ops.finalize_shared_tensor(handles, tf.float32, [None])
      return self._cut(flat, slot_to_id)

  def _rows_of(self, i: int, table: Any, ids: tf.RaggedTensor) -> tf.Tensor:
    """Flat float32: the rows of the ids of server i, as they travel."""
    with ps_device(i):
      rows = tf.cast(table.raw_lookup(ids), self._row_dtype)
    return tf.cast(rows, tf.float32)

  def _cut(self, flat: tf.Tensor, slot_to_id: Dict[str, tf.Tensor]) -> Dict[str, tf.Tensor]:
    """slot -> [n, dim], out of the flat floats of all asked slots in name order."""
    asked = [(name, dim) for name, dim in zip(self._names, self._dims, strict=True) if name in slot_to_id]
    if not asked:
      return {}
    sizes = [tf.size(slot_to_id[name]) * dim for name, dim in asked]
    parts = tf.split(flat, tf.stack(sizes), num=len(asked))
    result = {}
    for (name, dim), part in zip(asked, parts, strict=True):
      num_ids = tf.convert_to_tensor(slot_to_id[name]).shape.num_elements()
      result[name] = tf.reshape(part, [-1 if num_ids is None else num_ids, dim])
    return result

  def apply_gradients(
    self,
    slot_to_id_and_grad: _IdsAndValues,
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
    *,
    looked_up: Optional[Mapping[str, tf.Tensor]] = None,
  ) -> DistributedMultiTypeHashTable:
    """One optimizer step for every distinct id, with the sum of its gradients; see BaseMultiTypeHashTable."""
    with tf.name_scope("dmtht_apply_gradients"):
      unique = self._deal_out({k: v[0] for k, v in slot_to_id_and_grad.items()}, generate_buffer=False)
      grads = stack_values(self._names, {k: v[1] for k, v in slot_to_id_and_grad.items()})
      rows = self._whole_rows(slot_to_id_and_grad, looked_up) if looked_up else None
      tables = []
      for i, table in enumerate(self._tables):
        first = None if rows is None else _first_rows(rows, unique.positions[i], unique.value_offset, self._dims)
        summed = distribution_ops.fill_with_offset_map_gradient(
          unique.positions[i], grads, unique.value_offset, self._dims
        )
        with ps_device(i):
          tables.append(
            table.raw_apply_gradients(unique.ids[i], summed, global_step, req_time=req_time, looked_up=first)
          )
      return self._with_tables(tables)

  def _whole_rows(self, slot_to_id_and_grad: _IdsAndValues, looked_up: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Flat float32: what the ids of each slot were looked up as, in name order; zeros where no one asks for it."""
    return stack_values(
      self._names, {name: looked_up.get(name, tf.zeros_like(grad)) for name, (_, grad) in slot_to_id_and_grad.items()}
    )

  def combined(self, layout: fused_embedding.Layout, ids: Mapping[str, fused_embedding.Ids]) -> DealtLookup:
    """How the fids of a layout's features are dealt out to these tables, and rows combined."""
    return DealtLookup(self._names, self._dims, self._num_ps, layout, ids)

  def lookup_dealt(self, dealt: DealtFids) -> List[tf.Tensor]:
    """Of each server float32, flat: the rows of its distinct fids; absent ones are zeros."""
    rows = []
    for i, table in enumerate(self._tables):
      with ps_device(i):
        ids = as_ragged(dealt.messages[i], len(self._names))
      rows.append(self._rows_of(i, table, ids))
    return rows

  def apply_dealt_gradients(
    self,
    messages: Sequence[tf.Tensor],
    grads: Sequence[tf.Tensor],
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
  ) -> DistributedMultiTypeHashTable:
    """One optimizer step for every distinct fid.

    Args:
      messages: of `DealtFids`.
      grads: of each server float32, flat, a row for each of its fids.
      global_step: int64 scalar.
      req_time: int64 seconds; becomes the update time of the entries.
    """
    tables = []
    for i, table in enumerate(self._tables):
      with ps_device(i):
        fids = as_ragged(messages[i], len(self._names))
        tables.append(table.raw_apply_gradients(fids, grads[i], global_step, req_time=req_time))
    return self._with_tables(tables)

  def assign(
    self, slot_to_id_and_value: _IdsAndValues, req_time: Optional[tf.Tensor] = None
  ) -> DistributedMultiTypeHashTable:
    """See BaseMultiTypeHashTable.assign; of an id given twice the later value stays."""
    return self._write("assign", slot_to_id_and_value, req_time)

  def assign_add(
    self, slot_to_id_and_value: _IdsAndValues, req_time: Optional[tf.Tensor] = None
  ) -> DistributedMultiTypeHashTable:
    """See BaseMultiTypeHashTable.assign_add."""
    return self._write("assign_add", slot_to_id_and_value, req_time)

  def _write(
    self, method: str, slot_to_id_and_value: _IdsAndValues, req_time: Optional[tf.Tensor]
  ) -> DistributedMultiTypeHashTable:
    with tf.name_scope(f"dmtht_{method}"):
      per_ps: List[_IdsAndValues] = [{} for _ in self._tables]
      for name, dim in zip(self._names, self._dims, strict=True):
        if name not in slot_to_id_and_value:
          continue
        ids, values = slot_to_id_and_value[name]
        ids = tf.reshape(tf.cast(ids, tf.int64), [-1])
        values = tf.reshape(tf.cast(values, tf.float32), [-1, dim])
        shards = fid_to_shard(ids, self._num_ps)
        for i, pair in enumerate(
          zip(
            distribution_ops.split_by_indices(shards, ids, self._num_ps),
            distribution_ops.split_by_indices(shards, values, self._num_ps),
            strict=True,
          )
        ):
          per_ps[i][name] = pair
      tables = []
      for i, table in enumerate(self._tables):
        with ps_device(i):
          tables.append(getattr(table, method)(per_ps[i], req_time=req_time))
      return self._with_tables(tables)

  def reinitialize(self, slot: str, ids: tf.Tensor) -> Tuple[DistributedMultiTypeHashTable, tf.Tensor]:
    """See BaseMultiTypeHashTable.reinitialize; the status comes server by server."""
    with tf.name_scope("dmtht_reinitialize"):
      ids = tf.reshape(tf.cast(ids, tf.int64), [-1])
      parts = distribution_ops.split_by_indices(fid_to_shard(ids, self._num_ps), ids, self._num_ps)
      tables, status = [], []
      for i, table in enumerate(self._tables):
        with ps_device(i):
          new_table, own_status = table.reinitialize(slot, parts[i])
        tables.append(new_table)
        status.append(own_status)
      return self._with_tables(tables), tf.concat(status, 0)

  def as_op(self, name: Optional[str] = None) -> tf.Operation:
    """See BaseMultiTypeHashTable.as_op."""
    with tf.control_dependencies([table.as_op() for table in self._tables]):
      return tf.no_op(name=f"{name or 'dmtht_ao'}/done")

  def get_table_dim_sizes(self) -> List[int]:
    """The width of every slot's vectors, slots in sorted order."""
    return list(self._dims)

  def _with_tables(self, tables) -> DistributedMultiTypeHashTable:
    updated = copy.copy(self)
    updated._tables = tables
    return updated
