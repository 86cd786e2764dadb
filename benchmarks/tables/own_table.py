# SPDX-License-Identifier: Apache-2.0
"""`MultiHashTable` for the throughput benchmark."""

from __future__ import annotations

from benchmarks.tables import tensorflow_tables
from benchmarks.tables import workload as workloads
from monolith.native_training import entry, multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf

INITIALIZERS = {"zeros": entry.ZerosInitializer(), "random": entry.RandomUniformInitializer(-0.05, 0.05)}


class OwnTable(tensorflow_tables.TensorFlowTable):
  """One slot with Adagrad; `initializer` is a name of INITIALIZERS."""

  def __init__(self, dim: int, initializer: str = "zeros"):
    super().__init__(dim)
    config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
    config.cuckoo.SetInParent()
    optimizer = entry.AdagradOptimizer(workloads.LEARNING_RATE, workloads.INITIAL_ACCUMULATOR)
    config.entry_config.segments.append(
      entry.CombineAsSegment(dim, INITIALIZERS[initializer], optimizer, entry.Fp32Compressor())
    )
    instance = entry.HashTableConfigInstance(config, [workloads.LEARNING_RATE])
    self._table = multi_hash_table_ops.MultiHashTable.from_configs({"slot": instance})

  def _lookup(self, keys: tf.Tensor) -> tf.Tensor:
    return self._table.lookup({"slot": keys})["slot"]

  def _update(self, keys: tf.Tensor, gradients: tf.Tensor) -> None:
    self._table.apply_gradients({"slot": (keys, gradients)}, global_step=tf.constant(0, tf.int64))
