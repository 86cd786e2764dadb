# SPDX-License-Identifier: Apache-2.0
"""One table spread over parameter servers, each of which holds a single table of its fids."""

from __future__ import annotations

import copy
from typing import Any, Callable, List, Optional

from monolith.native_training import distribution_ops
from monolith.native_training import entry
from monolith.native_training import hash_table_utils
from monolith.native_training._servers import fid_to_shard, ps_device

import tensorflow as tf

__all__ = ["DistributedHashTable"]

TableFactory = Callable[[int, entry.HashTableConfigInstance], Any]


def _flat(ids: tf.Tensor) -> tf.Tensor:
  return tf.reshape(tf.cast(ids, tf.int64), [-1])


class DistributedHashTable:
  """A table whose fids lie on server `unsigned(fid) mod ps_num`.

  A lookup asks a server once for every distinct fid; gradients of equal fids are summed before their one optimizer
  step.

  Args:
    ps_num: number of servers, at least 1.
    config: what the vectors are made of.
    hash_table_factory: builds the single table of server i, called inside `device(i)`.
    device: the context in which ops of server i are made.

  Raises:
    ValueError: `ps_num` is below 1.
  """

  def __init__(
    self,
    ps_num: int,
    config: entry.HashTableConfigInstance,
    hash_table_factory: TableFactory,
    device: Callable[[int], Any] = ps_device,
  ):
    if ps_num < 1:
      raise ValueError(
        f"DistributedHashTable: ps_num is {ps_num}; give at least 1, or use a hash table of this process."
      )
    self._device = device
    self._dim_size = hash_table_utils.infer_dim_size(config)
    self._tables: List[Any] = []
    for i in range(ps_num):
      with self._device(i):
        self._tables.append(hash_table_factory(i, config))

  @property
  def dim_size(self) -> int:
    """The width of a vector."""
    return self._dim_size

  def lookup(self, ids: tf.Tensor, use_multi_threads: bool = False) -> tf.Tensor:
    """Reads vectors: float32 [n, dim_size]; zeros for fids that no server has.

    Args:
      ids: int64 [n].
      use_multi_threads: divide a server's fids among its threads.
    """
    ids = _flat(ids)
    fids = self._deal_out(tf.unique(ids)[0])
    found = []
    for i, table in enumerate(self._tables):
      with self._device(i):
        found.append(table.lookup(fids[i], use_multi_threads=use_multi_threads))
    return distribution_ops.map_id_to_embedding(fids, found, ids)

  def assign(self, ids: tf.Tensor, values: tf.Tensor, req_time: Optional[tf.Tensor] = None) -> DistributedHashTable:
    """Overwrites or inserts vectors [n, dim_size]; of a fid given twice the later one stays."""
    return self._write("assign", ids, values, req_time)

  def assign_add(self, ids: tf.Tensor, values: tf.Tensor, req_time: Optional[tf.Tensor] = None) -> DistributedHashTable:
    """Adds to vectors, to fresh ones where the fid is new."""
    return self._write("assign_add", ids, values, req_time)

  def apply_gradients(
    self,
    ids: tf.Tensor,
    grads: tf.Tensor,
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
    *,
    looked_up: Optional[tf.Tensor] = None,
  ) -> DistributedHashTable:
    """One optimizer step for every distinct fid, with the sum of its gradients.

    Args:
      ids: int64 [n].
      grads: float32 [n, dim_size].
      global_step: int64 scalar.
      req_time: int64 seconds; becomes the update time of the entries.
      looked_up: float32 [n, dim_size], what the gradients were computed from: for `entry.DcOptimizer`.
    """
    ids = _flat(ids)
    fids = self._deal_out(tf.unique(ids)[0])
    sums = distribution_ops.map_id_to_embedding_gradient_back_prop(fids, ids, self._rows(grads))
    known = [None] * len(fids) if looked_up is None else self._rows_of_distinct(ids, looked_up)
    tables = []
    for i, table in enumerate(self._tables):
      with self._device(i):
        tables.append(table.apply_gradients(fids[i], sums[i], global_step, req_time=req_time, looked_up=known[i]))
    return self._with_tables(tables)

  def as_op(self, name: Optional[str] = None) -> tf.Operation:
    """A no-op that runs after all updates behind this object."""
    with tf.control_dependencies([table.as_op() for table in self._tables]):
      return tf.no_op(name=f"{name or 'dht_ao'}/done")

  def _rows(self, values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.cast(values, tf.float32), [-1, self._dim_size])

  def _deal_out(self, fids: tf.Tensor, rows: Optional[tf.Tensor] = None) -> List[tf.Tensor]:
    """The fids of each server, or the rows beside them."""
    shards = fid_to_shard(fids, len(self._tables))
    return distribution_ops.split_by_indices(shards, fids if rows is None else rows, len(self._tables))

  def _rows_of_distinct(self, ids: tf.Tensor, rows: tf.Tensor) -> List[tf.Tensor]:
    """Of each server the rows of its distinct fids; all occurrences of a fid have the same."""
    distinct, numbers = tf.unique(ids)
    return self._deal_out(distinct, tf.math.unsorted_segment_max(self._rows(rows), numbers, tf.size(distinct)))

  def _write(
    self, method: str, ids: tf.Tensor, values: tf.Tensor, req_time: Optional[tf.Tensor]
  ) -> DistributedHashTable:
    ids = _flat(ids)
    fids, rows = self._deal_out(ids), self._deal_out(ids, self._rows(values))
    tables = []
    for i, table in enumerate(self._tables):
      with self._device(i):
        tables.append(getattr(table, method)(fids[i], rows[i], req_time=req_time))
    return self._with_tables(tables)

  def _with_tables(self, tables: List[Any]) -> DistributedHashTable:
    updated = copy.copy(self)
    updated._tables = tables
    return updated
