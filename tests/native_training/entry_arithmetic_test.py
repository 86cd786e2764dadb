# SPDX-License-Identifier: Apache-2.0
"""First values, what serving entries keep, and what training reads in their place, against NumPy.

Optimizers are in optimizer_twins_test.py.
"""

from __future__ import annotations

from monolith.native_training import _feature_collect
from monolith.native_training import entry
from monolith.native_training import hash_table_ops
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2 as pb

import numpy as np
import pytest
import tensorflow as tf

DIM = 19
IDS = np.array([0, -1, 7, 1 << 50, (5 << 48) + 3], np.int64)


def _config(*segments):
  config = pb.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  config.entry_config.segments.extend(segments)
  return entry.HashTableConfigInstance(config, [1.0] * len(segments))


def _segment(dim, compressor=None, initializer=None, optimizer=None):
  return entry.CombineAsSegment(
    dim,
    initializer or entry.ZerosInitializer(),
    optimizer or entry.SgdOptimizer(),
    compressor or entry.Fp32Compressor(),
  )


def _fresh(initializer, dim=DIM):
  """First values of IDS: what is there after nothing was added."""
  table = hash_table_ops.hash_table_from_config(_config(_segment(dim, initializer=initializer)))
  return table.assign_add(IDS, np.zeros([len(IDS), dim])).lookup(IDS).numpy()


@pytest.mark.parametrize(
  "text, value",
  [("zeros", 0), ("ones", 1), ("constants", 0.625), ("random_uniform", None)],
)
def test_first_values(text, value):
  proto = pb.InitializerConfig()
  getattr(proto, text).SetInParent()
  getattr(proto, text).dim_size = 1000  # the slice's own dim is what counts
  if text == "constants":
    proto.constants.constant = value
  found = _fresh(proto)
  if value is not None:
    np.testing.assert_array_equal(found, np.full([len(IDS), DIM], value, np.float32))
    return
  low, high = np.float32(-0.05), np.float32(0.05)
  assert (low <= found).all() and (found < high).all() and np.ptp(found) > 0.08
  assert len(np.unique(found)) > 0.95 * found.size


def test_uniform_values_fill_their_range_evenly():
  values = _fresh(entry.RandomUniformInitializer(-1, 3), 4000).ravel()
  assert -1 <= values.min() < -0.99 and 2.99 < values.max() < 3
  counts, _ = np.histogram(values, bins=20, range=(-1, 3))
  expected = values.size / 20
  assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
  with pytest.raises(tf.errors.InvalidArgumentError, match="minval 1.0.* is above maxval 0.0"):
    _fresh(pb.InitializerConfig(random_uniform=pb.RandomUniformInitializerConfig(minval=1, maxval=0)))
  np.testing.assert_array_equal(_fresh(entry.RandomUniformInitializer(2, 2)), np.full([len(IDS), DIM], 2))


def half(values):
  return values.astype(np.float16).astype(np.float32)


def grid(values, r):
  step = np.float32(r / 128)
  nearest = np.trunc((np.where(np.isnan(values), 0, values) + np.where(values >= 0, step / 2, -step / 2)) / step)
  return np.where(np.isnan(values), 0, np.clip(nearest, -128, 127) * step)


def sign(values, amplitude):
  return np.where(values > 0, amplitude, -amplitude)


KEPT = {
  "fp32": (entry.Fp32Compressor(), lambda values: values),
  "fp16": (entry.Fp16Compressor(), half),
  "fixed_r8": (entry.FixedR8Compressor(0.7), lambda values: grid(values, 0.7)),
  "one_bit": (entry.OneBitCompressor(amplitude=0.3), lambda values: sign(values, np.float32(0.3))),
}


def _any_values(dim, seed):
  values = np.random.default_rng(seed).normal(size=[len(IDS), dim]).astype(np.float32) / 2
  values[0, :3] = [0, 1e-7, -1e-7]
  values[1, :3] = [1e4, -1e4, 0.35]
  return values


@pytest.mark.parametrize("name", KEPT)
def test_serving_entries_keep_what_the_twin_does(tmp_path, name):
  """Values that were trained, and values assigned to the served table; beside a slice that is kept as it is."""
  compressor, twin = KEPT[name]
  config = _config(_segment(DIM, compressor), _segment(2))
  trained, assigned = _any_values(DIM + 2, 1), _any_values(DIM + 2, 2)
  hash_table_ops.hash_table_from_config(config).assign(IDS, trained).save(str(tmp_path / "t"))
  with export_context.enter_export_mode(export_context.ExportMode.STANDALONE):
    serving = hash_table_ops.hash_table_from_config(config)
  for write, values in (
    (lambda: serving.restore(str(tmp_path / "t")), trained),
    (lambda: serving.assign(IDS, assigned), assigned),
  ):
    found = write().lookup(IDS).numpy()
    np.testing.assert_array_equal(found[:, DIM:], values[:, DIM:])
    np.testing.assert_allclose(found[:, :DIM], twin(values[:, :DIM]), rtol=1e-6)


@pytest.mark.parametrize("name", KEPT)
def test_training_reads_and_learns_as_the_twin_does(name):
  """100 steps of SGD through the retriever of each compressor; what is kept is never rounded."""
  compressor, twin = KEPT[name]
  table = hash_table_ops.hash_table_from_config(_config(_segment(DIM, compressor)))
  kept = _any_values(DIM, 3).astype(np.float64)
  table = table.assign(IDS, kept)
  random, scale = np.random.default_rng(4), 1.0
  for step in range(100, 200):
    gradients = random.normal(size=[len(IDS), DIM]).astype(np.float32) / 16
    table = table.apply_gradients(IDS, gradients, step)
    if name == "one_bit":
      # Before step 200 the scale is that of step 0; its derivative scales every gradient.
      gradients = gradients * 0.3 * scale * (1 - np.tanh(scale * kept) ** 2)
    kept -= gradients
  stored = np.array([pb.EntryDump.FromString(raw).num for raw in table.lookup_entry(IDS).numpy()])
  np.testing.assert_allclose(stored, kept, rtol=1e-5, atol=1e-5)
  stored = stored.astype(np.float32)
  reads = {"fp16": stored, "one_bit": np.float32(0.3) * np.tanh(stored)}
  np.testing.assert_allclose(table.lookup(IDS), reads.get(name, twin(stored)), rtol=1e-6)


def test_the_scale_of_one_bit_grows_at_every_refresh():
  table = hash_table_ops.hash_table_from_config(_config(_segment(1, entry.OneBitCompressor(20, 0.3))))
  table = table.assign([5], [[0.4]])
  for step in range(0, 100, 5):
    table = table.apply_gradients([5], [[0.0]], step)
    scale = np.sqrt(1 + 0.005 * (step // 20 * 20))
    np.testing.assert_allclose(table.lookup([5]), [[0.3 * np.tanh(scale * 0.4)]], rtol=1e-6)


@pytest.mark.parametrize("form", [pb.EmbeddingHashTableConfig.PACKED, pb.EmbeddingHashTableConfig.RAW])
def test_the_storage_form_is_a_hint(form):
  config = _config(_segment(3))
  config.table_config.entry_type = form
  table = hash_table_ops.hash_table_from_config(config).assign([1], [[1, 2, 3]])
  np.testing.assert_array_equal(table.lookup([1, 2]), [[1, 2, 3], [0, 0, 0]])


@pytest.mark.parametrize(
  "optimizer, rate",
  [
    (entry.MovingAverageOptimizer(), 0),
    (entry.SgdOptimizer(0.25), 0.25),
    (entry.DcOptimizer(entry.AdagradOptimizer(0.5), 1.0), 0.5),
    (entry.FtrlOptimizer(), np.float32(0.01)),
  ],
)
def test_the_default_rate_is_that_of_the_optimizer_if_it_has_one(optimizer, rate):
  assert _feature_collect._default_learning_rate(_segment(1, optimizer=optimizer)) == rate
