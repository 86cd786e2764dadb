# SPDX-License-Identifier: Apache-2.0
"""DcOptimizer on every way that gradients take to tables; its arithmetic is in optimizer_twins_test."""

from __future__ import annotations

import numpy as np
import pytest

import event_files

from monolith.native_training import cpu_training
from monolith.native_training import distributed_ps_factory
from monolith.native_training import entry
from monolith.native_training import hash_filter_ops
from monolith.native_training import hash_table_ops
from monolith.native_training import multi_type_hash_table
from monolith.native_training import native_model
from monolith.native_training import test_utils
from monolith.native_training._collect_pass import FeatureConfigs
from monolith.native_training._layout_step import create_partitioned_tables
from monolith.native_training.cpu_training import CpuTrainingConfig
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf  # isort: skip

_STEPS, _RATE, _STRENGTH = 12, 0.1, 0.5


def _instance(dim, optimizer):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  segment = entry.CombineAsSegment(dim, entry.ConstantsInitializer(1.0), optimizer, entry.Fp32Compressor())
  config.entry_config.segments.append(segment)
  return entry.HashTableConfigInstance(config, [1.0])


def _configs():
  """A compensated table of 1 float, a plain one of 3, a compensated one of 2."""
  dc = entry.DcOptimizer(entry.SgdOptimizer(), _STRENGTH)
  return {"a": _instance(1, dc), "b": _instance(3, entry.SgdOptimizer()), "c": _instance(2, dc)}


_IDS = {"a": [1, 2, 1, -5], "b": [3, 3], "c": [7, 8, 7, 9, 7]}


def _expected(name, dim, grads, looked_up):
  """{fid: its row after one step from ones with the sum of its gradients}; no fid comes twice with two rows."""
  result = {}
  for fid in sorted(set(_IDS[name])):
    rows = [i for i, other in enumerate(_IDS[name]) if other == fid]
    g = grads[rows].sum(0)
    result[fid] = 1 - g - (_STRENGTH * g**2 * (1 - looked_up[rows[0]]) if name != "b" else 0)
  return np.stack([result[fid] for fid in _IDS[name]])


def _arrays():
  random = np.random.default_rng(5)
  arrays = {}
  for name, dim in {"a": 1, "b": 3, "c": 2}.items():
    rows = {fid: random.normal(size=dim).astype(np.float32) for fid in _IDS[name]}
    grads = random.normal(size=(len(_IDS[name]), dim)).astype(np.float32)
    arrays[name] = (grads, np.stack([rows[fid] for fid in _IDS[name]]))
  return arrays


@pytest.mark.parametrize("num_ps", [0, 1, 3])
@pytest.mark.parametrize("all_slots", [True, False])
def test_tables_here_and_on_servers_take_the_same_step(num_ps, all_slots):
  arrays = _arrays()
  with tf.Graph().as_default():
    filters = hash_filter_ops.create_hash_filters(num_ps, False)
    table = distributed_ps_factory.create_native_multi_hash_table(num_ps, _configs(), filters)
    table = table.assign(
      {name: (tf.constant(ids, tf.int64), tf.ones(arrays[name][0].shape)) for name, ids in _IDS.items()}
    )
    update = {name: (tf.constant(ids, tf.int64), tf.constant(arrays[name][0])) for name, ids in _IDS.items()}
    looked_up = {name: tf.constant(rows) for name, (_, rows) in arrays.items() if all_slots or name != "b"}
    table = table.apply_gradients(update, tf.constant(0, tf.int64), looked_up=looked_up)
    found = table.lookup({name: tf.constant(ids, tf.int64) for name, ids in _IDS.items()})
    with test_utils.ps_session(num_ps) if num_ps else tf.compat.v1.Session() as session:
      session.run([t.initializer for t in tf.compat.v1.get_collection("monolith_multi_hash_tables")])
      found = session.run(found)
  for name, (grads, rows) in arrays.items():
    np.testing.assert_allclose(found[name], _expected(name, grads.shape[1], grads, rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("merged", [False, True])
def test_single_tables_take_the_same_step(merged):
  arrays = _arrays()

  def single_tables(configs):
    return multi_type_hash_table.MultiTypeHashTable(
      configs, lambda name, config: hash_table_ops.hash_table_from_config(config, name_suffix=f"dc_{name}_{merged}")
    )

  tables = (multi_type_hash_table.MergedMultiTypeHashTable if merged else lambda c, f: f(c))(_configs(), single_tables)
  tables = tables.assign(
    {name: (tf.constant(ids, tf.int64), tf.ones(arrays[name][0].shape)) for name, ids in _IDS.items()}
  )
  tables = tables.apply_gradients(
    {name: (tf.constant(ids, tf.int64), tf.constant(arrays[name][0])) for name, ids in _IDS.items()},
    tf.constant(0, tf.int64), enable_dedup=True,
    looked_up={name: tf.constant(rows) for name, (_, rows) in arrays.items()},
  )  # fmt: skip
  found = tables.lookup({name: tf.constant(ids, tf.int64) for name, ids in _IDS.items()})
  for name, (grads, rows) in arrays.items():
    np.testing.assert_allclose(found[name], _expected(name, grads.shape[1], grads, rows), rtol=1e-5, atol=1e-6)


class _Counting(native_model.MonolithModel):
  """The gradient of every weight is 1 in every step."""

  optimizer = None

  def input_fn(self, mode):
    batch = {"user": tf.ragged.constant([[3], [4]], tf.int64), "label": tf.zeros([2])}
    return tf.data.Dataset.from_tensors(batch).repeat(_STEPS)

  def serving_input_receiver_fn(self):
    raise NotImplementedError

  def model_fn(self, features, mode):
    self.create_embedding_feature_column("user", occurrence_threshold=0)
    embedding = self.lookup_embedding_slice(
      ["user"], "vec", 2, entry.ZerosInitializer(), self.optimizer, entry.Fp32Compressor(), out_type="concat"
    )
    self._default_dense_optimizer = tf.compat.v1.train.GradientDescentOptimizer(1.0)
    return native_model.EstimatorSpec(
      label=features["label"], pred=tf.reduce_sum(embedding, 1), loss=tf.reduce_sum(embedding), head_name="head"
    )


def _losses(tmp_path, optimizer, **settings):
  params = _Counting.params()
  params.clip_norm = None
  model = params.instantiate()
  model.optimizer = optimizer
  config = CpuTrainingConfig(save_summary_steps=1, **settings)
  cpu_training.local_train_internal(model, config, str(tmp_path), steps=None)
  return event_files.losses(tmp_path)


_DC = entry.DcOptimizer(entry.SgdOptimizer(_RATE), _STRENGTH)


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_steps_that_do_not_overlap_have_no_delay(tmp_path, num_ps):
  losses = _losses(tmp_path, _DC, num_ps=num_ps)
  np.testing.assert_allclose(losses, [-4 * _RATE * step for step in range(_STEPS)], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_overlapping_steps_are_compensated(tmp_path, num_ps):
  """A lookup misses at least one update, of at least rate * (1 - strength * rate * steps) in size."""
  overlap = {"embedding_prefetch_capacity": 1, "enable_embedding_postpush": True}
  plain = _losses(tmp_path / "plain", entry.SgdOptimizer(_RATE), num_ps=num_ps, **overlap)
  losses = _losses(tmp_path / "dc", _DC, num_ps=num_ps, **overlap)
  assert len(losses) == len(plain) == _STEPS
  assert losses[-1] > -4 * _RATE * (_STEPS - 1)
  # Every second update at least has one between its lookup and itself, which makes it smaller.
  smallest = _RATE * (1 - _STRENGTH * _RATE * 2)
  updates = -np.diff(losses)[2:] / 4
  assert np.any((updates > 0) & (updates < _RATE - _STRENGTH * _RATE * smallest / 2))


def test_layouts_refuse_it_by_name():
  configs = FeatureConfigs(table_to_config=_configs())
  with pytest.raises(ValueError, match="enable_fused_layout: table 'a' has a DcOptimizer"):
    create_partitioned_tables(CpuTrainingConfig(), configs, {}, None)


def test_its_config():
  with pytest.raises(ValueError, match=r"DcOptimizer: lambda_ is -1; it must be >= 0"):
    entry.DcOptimizer(entry.SgdOptimizer(), -1)
  config = entry.DcOptimizer(entry.AdamOptimizer(0.5), 0.25).as_proto()
  assert config.dc.lambda_ == 0.25 and config.dc.base.adam.learning_rate == 0.5
