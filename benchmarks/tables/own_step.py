# SPDX-License-Identifier: Apache-2.0
"""Monolith's tables for the benchmark of a training step: one table a field, with two slices."""

from __future__ import annotations

from typing import Any

from benchmarks.tables import step_worker
from benchmarks.tables import workload as workloads
from monolith.native_training import entry, fused_embedding, multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf

NAMES = [f"field{i:02}" for i in range(step_worker.FIELDS)]


def make_table() -> multi_hash_table_ops.MultiHashTable:
  """A table a field."""
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  config.cuckoo.SetInParent()
  optimizer = entry.AdagradOptimizer(workloads.LEARNING_RATE, workloads.INITIAL_ACCUMULATOR)
  for dim in (step_worker.DIM, 1):
    config.entry_config.segments.append(
      entry.CombineAsSegment(dim, entry.ZerosInitializer(), optimizer, entry.Fp32Compressor())
    )
  instance = entry.HashTableConfigInstance(config, [workloads.LEARNING_RATE] * 2)
  return multi_hash_table_ops.MultiHashTable.from_configs(dict.fromkeys(NAMES, instance))


class OwnEmbeddings(step_worker.Embeddings):
  """The fused path: one op reads and combines, one takes the step."""

  def __init__(self) -> None:
    self._table = make_table()
    self._anchor = tf.constant(0.0)
    slices = [fused_embedding.Slice("deep", step_worker.DIM), fused_embedding.Slice("bias", 1)]
    self._layout = fused_embedding.Layout([fused_embedding.Feature(name, name, slices) for name in NAMES])

  def lookup(self, ids: Any) -> tuple[Any, Any]:
    outputs = fused_embedding.combined_lookup(
      self._table,
      self._layout,
      dict(zip(NAMES, tf.unstack(ids, len(NAMES)), strict=True)),
      anchor=self._anchor,
      global_step=tf.constant(0, tf.int64),
    )
    return outputs["deep"], outputs["bias"]

  def train(self, loss: Any) -> Any:
    return tf.gradients(loss, self._anchor)[0]

  def initializers(self) -> list[Any]:
    return [self._table.initializer]


class SeparateEmbeddings(OwnEmbeddings):
  """The ops for every id by itself: lookup, TensorFlow's slicing and gradients, apply_gradients with dedup."""

  def lookup(self, ids: Any) -> tuple[Any, Any]:
    self._ids = dict(zip(NAMES, tf.unstack(ids, len(NAMES)), strict=True))
    self._rows = self._table.lookup(self._ids)
    rows = list(self._rows.values())
    dim = step_worker.DIM
    return tf.concat([row[:, :dim] for row in rows], 1), tf.concat([row[:, dim:] for row in rows], 1)

  def train(self, loss: Any) -> Any:
    gradients = tf.gradients(loss, list(self._rows.values()))
    pairs = {name: (self._ids[name], gradient) for name, gradient in zip(NAMES, gradients, strict=True)}
    return self._table.apply_gradients(pairs, tf.constant(0, tf.int64), enable_dedup=True).as_op()
