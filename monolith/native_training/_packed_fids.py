# SPDX-License-Identifier: Apache-2.0
"""Fids, embeddings and gradients of many tables, one message each between the worker and a server.

Sharded fids come as a list for each table and server. Sent as they are, every list would be a message of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, List, Optional

import tensorflow as tf

from monolith.native_training._dealt_lookup import as_ragged

__all__ = ["PackedFids"]


class PackedFids:
  """Makes the messages to the servers of one set of tables.

  Args:
    names: of the tables in question, sorted.
    dims: of each of them the width of its embeddings.
    tables: the `MultiHashTable` of each server; it may have more tables than those.
  """

  def __init__(self, names: Sequence[str], dims: Sequence[int], tables: Sequence[Any]):
    self._dims = list(dims)
    server_names = list(tables[0].table_names)
    self._num_tables = len(server_names)
    number = {name: i for i, name in enumerate(names)}
    # Where a server's table finds its count; tables that are not in question have the last one, 0.
    self._places = [number.get(name, len(number)) for name in server_names]

  def messages(self, fids: Sequence[Sequence[tf.Tensor]], num_floats: tf.Tensor) -> List[tf.Tensor]:
    """For each server int64 `[its tables + 1 + n]`: row splits of its tables, and its fids.

    Args:
      fids: of each server, of each table int64 fids.
      num_floats: int32, of each table and server, table by table, the floats of its embeddings.
    """
    counts = tf.reshape(num_floats, [len(self._dims), len(fids)]) // tf.constant(self._dims, shape=[len(self._dims), 1])
    by_table = tf.gather(tf.pad(tf.cast(counts, tf.int64), [[0, 1], [0, 0]]), self._places)
    splits = tf.unstack(tf.pad(tf.cumsum(by_table), [[1, 0], [0, 0]]), num=len(fids), axis=1)
    return [tf.concat([split, *of_server], 0) for split, of_server in zip(splits, fids, strict=True)]

  def lookup(self, table: Any, message: tf.Tensor) -> tf.Tensor:
    """The embeddings of a message's fids, flat. Meant for the server."""
    return table.raw_lookup(as_ragged(message, self._num_tables))

  def cut(self, flat: tf.Tensor, num_floats: tf.Tensor) -> List[tf.Tensor]:
    """Of one server's flat embeddings those of each table, flat."""
    return tf.split(flat, num_floats, num=len(self._dims))

  def apply_gradients(
    self,
    table: Any,
    message: tf.Tensor,
    flat: tf.Tensor,
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor],
    fids_repeat: bool,
  ) -> tf.Operation:
    """One optimizer step for every distinct fid of a table, with the sum of its gradients. Meant for the server."""
    fids = as_ragged(message, self._num_tables)
    return table.raw_apply_gradients(fids, flat, global_step, req_time=req_time, enable_dedup=fids_repeat).as_op()
