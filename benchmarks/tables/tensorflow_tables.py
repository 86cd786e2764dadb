# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's own ways to keep embeddings, for the throughput benchmark. Needs no Monolith: runs in other
environments too."""

from __future__ import annotations

import functools
from typing import Any

from benchmarks.tables import measurement
from benchmarks.tables import workload as workloads

import numpy as np
import tensorflow as tf

KEYS = tf.TensorSpec([None], tf.int64)


def use_threads(count: int) -> None:
  """Sizes TensorFlow's pools; only before its first op."""
  tf.config.threading.set_intra_op_parallelism_threads(count)
  tf.config.threading.set_inter_op_parallelism_threads(count)


class TensorFlowTable(measurement.Table):
  """Runs `_lookup` and `_update`, which a subclass writes in TensorFlow, as traced functions.

  They are traced in the first call, since a subclass makes its table after this class, and called without looking for
  the trace again, which takes as long as running a small graph.
  """

  def __init__(self, dim: int):
    self.dim = dim
    self._signature = [KEYS, tf.TensorSpec([None, dim], tf.float32)]

  @functools.cached_property
  def lookup(self) -> Any:
    return tf.function(self._lookup).get_concrete_function(KEYS)

  @functools.cached_property
  def update(self) -> Any:
    return tf.function(self._update).get_concrete_function(*self._signature)

  @functools.cached_property
  def step(self) -> Any:
    return tf.function(self._step).get_concrete_function(*self._signature)

  def _lookup(self, keys: tf.Tensor) -> tf.Tensor:
    raise NotImplementedError

  def _update(self, keys: tf.Tensor, gradients: tf.Tensor) -> None:
    raise NotImplementedError

  def _step(self, keys: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    rows = self._lookup(keys)
    with tf.control_dependencies([rows]):
      self._update(keys, gradients)
    return rows

  def ready(self, array: np.ndarray) -> tf.Tensor:
    return tf.constant(array)

  def rows(self, looked_up: tf.Tensor) -> np.ndarray:
    return looked_up.numpy()


class DenseVariable(TensorFlowTable):
  """A variable with a row for every rank: `tf.gather` and TensorFlow's sparse Adagrad."""

  uses_ranks = True
  inserts = False

  def __init__(self, keys: int, dim: int):
    super().__init__(dim)
    self.static_bytes = 2 * 4 * keys * dim
    self._weights = tf.Variable(tf.zeros([keys, dim]))
    self._accumulators = tf.Variable(tf.fill([keys, dim], workloads.INITIAL_ACCUMULATOR))

  def _lookup(self, keys: tf.Tensor) -> tf.Tensor:
    return tf.gather(self._weights, keys)

  def _update(self, keys: tf.Tensor, gradients: tf.Tensor) -> None:
    tf.raw_ops.ResourceSparseApplyAdagradV2(
      var=self._weights.handle,
      accum=self._accumulators.handle,
      lr=workloads.LEARNING_RATE,
      epsilon=0.0,
      grad=gradients,
      indices=keys,
    )


class DenseHashTable(TensorFlowTable):
  """`tf.lookup.experimental.DenseHashTable`, one for weights and one for accumulators: it has no optimizers, so an
  update reads both, computes in TensorFlow, and writes both."""

  def __init__(self, keys: int, dim: int):
    super().__init__(dim)
    del keys
    self._weights = self._make(tf.zeros([dim]))
    self._accumulators = self._make(tf.fill([dim], workloads.INITIAL_ACCUMULATOR))

  def _make(self, default: tf.Tensor) -> tf.lookup.experimental.DenseHashTable:
    empty, deleted = workloads.fids_of(np.array([2**62, 2**62 + 1]))  # of no rank in use
    return tf.lookup.experimental.DenseHashTable(
      key_dtype=tf.int64, value_dtype=tf.float32, default_value=default, empty_key=empty, deleted_key=deleted
    )

  def _lookup(self, keys: tf.Tensor) -> tf.Tensor:
    return self._weights.lookup(keys)

  def _update(self, keys: tf.Tensor, gradients: tf.Tensor) -> None:
    self._apply(keys, self._weights.lookup(keys), gradients)

  def _step(self, keys: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    rows = self._weights.lookup(keys)
    self._apply(keys, rows, gradients)
    return rows

  def _apply(self, keys: tf.Tensor, rows: tf.Tensor, gradients: tf.Tensor) -> None:
    accumulators = self._accumulators.lookup(keys) + gradients * gradients
    self._accumulators.insert(keys, accumulators)
    self._weights.insert(keys, rows - workloads.LEARNING_RATE * gradients / tf.sqrt(accumulators))
