# SPDX-License-Identifier: Apache-2.0
"""Lookups and updates of several single tables in the fused layout of synchronous training.

With K tables and N shards, `fused_slot_size[s * K + t]` is the number of ids that shard s has of table t. Ids and rows
stand shard after shard, table after table, rows flat and each as wide as its table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

from monolith.native_training._hash_table import HashTable
from monolith.native_training._table_arguments import request_time
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

Tables = Sequence[Union[HashTable, tf.Tensor]]


class FusedEmbeddings(NamedTuple):
  """What a fused lookup returns.

  Attributes:
    embeddings: float32, flat: the rows of all ids.
    embedding_splits: int32 `[N]`, floats of each shard.
    id_offsets: int32 `[K * N + 1]`, ids before each part, and how many there are.
    embedding_offsets: int32 `[K * N + 1]`, floats before each part, and how many there are.
    indices: int64, the ids.
  """

  embeddings: tf.Tensor
  embedding_splits: tf.Tensor
  id_offsets: tf.Tensor
  embedding_offsets: tf.Tensor
  indices: tf.Tensor


def _handles(tables: Tables) -> list[tf.Tensor]:
  if not tables:
    raise ValueError("fused ops: tables is empty; pass at least one.")
  return [table.table if isinstance(table, HashTable) else table for table in tables]


def fused_lookup(
  tables: Tables,
  ids: tf.Tensor,
  fused_slot_size: tf.Tensor,
  num_of_shards: int,
  req_time: Optional[tf.Tensor] = None,
) -> FusedEmbeddings:
  """Reads embeddings of several tables for several shards; absent fids give zeros.

  Args:
    tables: the K tables, or their handles.
    ids: int64, in the fused layout.
    fused_slot_size: int32 `[K * N]`.
    num_of_shards: N.
    req_time: not used.

  Raises:
    ValueError: there are no tables.
  """
  return FusedEmbeddings(
    *gen_monolith_ops.monolith_hash_table_fused_lookup(
      _handles(tables), ids, fused_slot_size, request_time(req_time), num_of_shards=num_of_shards
    )
  )


def fused_apply_gradient(
  tables: Tables,
  ids: tf.Tensor,
  indices: tf.Tensor,
  fused_slot_size: tf.Tensor,
  id_grads: tf.Tensor,
  id_offsets: tf.Tensor,
  grad_offsets: tf.Tensor,
  learning_rate_tensors: Any,
  req_time: Optional[tf.Tensor],
  global_step: tf.Tensor,
  num_of_shards: int,
  enable_grad_accumulation: bool = False,
) -> list[tf.Tensor]:
  """Takes the optimizer steps of several tables for several shards.

  Args:
    tables: the K tables, or their handles.
    ids: int64, in the fused layout.
    indices: int64, what the lookup returned.
    fused_slot_size: int32 `[K * N]`.
    id_grads: float32, flat.
    id_offsets: int32 `[K * N]` or one more, where the ids of each part begin.
    grad_offsets: int32 `[K * N]` or one more, where the gradients of each part begin.
    learning_rate_tensors: float32, a rate for every slice of every table, in table order.
    req_time: int64 seconds.
    global_step: int64.
    num_of_shards: N.
    enable_grad_accumulation: sum the gradients of equal fids of a table, over all shards, and take one step.

  Returns:
    The handles of the tables after the update.

  Raises:
    ValueError: there are no tables.
  """
  return gen_monolith_ops.monolith_hash_table_fused_optimize(
    _handles(tables),
    ids,
    indices,
    fused_slot_size,
    id_grads,
    id_offsets,
    grad_offsets,
    learning_rate_tensors,
    request_time(req_time),
    tf.cast(global_step, tf.int64),
    num_of_shards=num_of_shards,
    enable_grad_accumulation=enable_grad_accumulation,
  )
