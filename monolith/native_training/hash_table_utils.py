# SPDX-License-Identifier: Apache-2.0
"""Helpers around tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

import tensorflow as tf

if TYPE_CHECKING:
  from monolith.native_training import entry


def infer_dim_size(config: entry.HashTableConfigInstance) -> int:
  """The width of a table's vectors: the dims of all its slices together."""
  return sum(segment.dim_size for segment in config.table_config.entry_config.segments)


def needs_looked_up(config: entry.HashTableConfigInstance) -> bool:
  """Whether `apply_gradients` of the table takes what the gradients were computed from (entry.DcOptimizer)."""
  return any(segment.opt_config.HasField("dc") for segment in config.table_config.entry_config.segments)


def iterate_table_and_apply(
  table, apply_fn: Callable[[tf.Tensor], None], limit: int = 1000, nshards: int = 4, name: str = "IterateTable"
) -> tf.Tensor:
  """Passes every entry of a table to a function, at most `limit` at a time.

  Args:
    table: has `save_as_tensor(shard_idx, num_shards, limit, offset) -> (new_offset, entries)`.
    apply_fn: gets serialized EntryDumps, string [<= limit]; its ops run, its result is dropped.
    limit: entries a call.
    nshards: the shards the table is read in, one after the other.
    name: scope of the ops.

  Returns:
    int64 scalar, how many entries were passed; in a graph, running it does the work.
  """

  @tf.function
  def iterate():
    num_entries = tf.constant(0, tf.int64)
    for shard in tf.range(nshards):
      offset = tf.constant(0, tf.int64)
      more = tf.constant(True)
      while more:
        offset, entries = table.save_as_tensor(shard, nshards, limit, offset)
        apply_fn(entries)
        num_entries += tf.size(entries, out_type=tf.int64)
        more = tf.size(entries) >= limit
    return num_entries

  with tf.name_scope(name):
    return iterate()
