# SPDX-License-Identifier: Apache-2.0
"""Training with a single table for all slots of one configuration, in this process and on servers."""

from __future__ import annotations

import numpy as np
import pytest

import event_files
import ffm_examples

from monolith.native_training import cpu_training, distributed_ps_factory, entry, estimator, model
from monolith.native_training import test_utils
from monolith.native_training._local_training import LocalTraining
from monolith.native_training.cpu_training import CpuTrainingConfig
from monolith.native_training.model_export.export_context import ExportMode
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf  # isort: skip

_STEPS = 20
_BATCH = 16


def _params():
  params = model.FFMParams().task()
  params.train.per_replica_batch_size = _BATCH
  params.serving.export_mode = ExportMode.STANDALONE
  return params


def _train(model_dir, steps=_STEPS, **settings):
  config = CpuTrainingConfig(save_summary_steps=1, **settings)
  cpu_training.local_train_internal(_params(), config, str(model_dir), steps=steps)
  return event_files.losses(model_dir)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
  path = tmp_path_factory.mktemp("native")
  return path, _train(path)


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_the_same_losses_as_tables_in_one_op(tmp_path, native, num_ps):
  losses = _train(tmp_path, use_native_multi_hash_table=False, num_ps=num_ps)
  np.testing.assert_allclose(losses, native[1], rtol=1e-5)
  assets = tmp_path / f"model.ckpt-{_STEPS}.assets"
  names = {path.name.split("-")[0].split(".")[0] for path in assets.iterdir()}
  # The slots of the model have two configurations; on servers the file names end in the server's number.
  assert len(names) == 2 * max(num_ps, 1)
  assert all(name.startswith("MonolithHashTable_") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("before, after", [(0, 2), (2, 0), (2, 3)])
def test_a_resume_keeps_the_kind_of_tables_with_any_number_of_servers(tmp_path, native, before, after):
  _train(tmp_path, steps=_STEPS // 2, use_native_multi_hash_table=False, num_ps=before)
  losses = _train(tmp_path, steps=_STEPS // 2, num_ps=after)
  np.testing.assert_allclose(losses, native[1], rtol=1e-5)
  state = (tmp_path / "monolith_checkpoint").read_text()
  assert "builtin_hash_table_type: CUCKOO_HASH_MAP" in state
  with pytest.raises(ValueError, match="hold tables of kind CUCKOO_HASH_MAP, but use_native_multi_hash_table is True"):
    _train(tmp_path, steps=1, use_native_multi_hash_table=True)


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_evaluates_predicts_and_exports(tmp_path, native, num_ps):
  """In a checkpoint's directory, the settings may leave the kind of tables open."""
  _train(tmp_path, use_native_multi_hash_table=False)
  config = CpuTrainingConfig(num_ps=num_ps)
  with (
    LocalTraining(_params(), config, str(tmp_path)) as single,
    LocalTraining(_params(), config, str(native[0])) as multi,
  ):
    answers = [list(zip(range(2 * _BATCH), training.predict(), strict=False)) for training in (single, multi)]
    metrics = [training.evaluate(steps=4) for training in (single, multi)]
  np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5)
  assert metrics[0] == pytest.approx(metrics[1], rel=1e-4)
  examples = ffm_examples.first_batch(_params())
  runner = estimator.RunnerConfig(is_local=True, num_ps=num_ps, model_dir=str(tmp_path))
  exported = estimator.Estimator(_params(), runner).export_saved_model().decode()
  with estimator.import_saved_model(exported) as infer:
    served = infer(examples)["output"]
  np.testing.assert_allclose(served, [prediction for _, prediction in answers[0][:_BATCH]], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("feature_eviction_on_save", [True])
def test_saves_that_evict(tmp_path, feature_eviction_on_save, native):
  losses = _train(
    tmp_path,
    use_native_multi_hash_table=False,
    feature_eviction_on_save=feature_eviction_on_save,
    save_checkpoints_steps=5,
  )
  np.testing.assert_allclose(losses, native[1], rtol=1e-5)


def _config(optimizer, dim):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  config.entry_config.segments.append(
    entry.CombineAsSegment(dim, entry.ZerosInitializer(), optimizer, entry.Fp32Compressor())
  )
  return entry.HashTableConfigInstance(config, [0.5])


@pytest.mark.parametrize("num_ps", [0, 1, 3])
def test_the_tables_alone(num_ps):
  """Assign, assign_add, lookup and a step with repeated fids, negative ones included."""
  adagrad = entry.AdagradOptimizer(initial_accumulator_value=1.0)
  with tf.Graph().as_default():
    tables = distributed_ps_factory.create_multi_type_hash_table(
      num_ps, {"a": _config(adagrad, 2), "b": _config(adagrad, 2), "c": _config(entry.SgdOptimizer(), 1)}, None
    )
    assert tables.slot_mapping["a"] == tables.slot_mapping["b"] != tables.slot_mapping["c"]
    ids = tf.constant([3, -7, 3, 1 << 50], tf.int64)
    tables = tables.assign({"a": (ids[:2], tf.constant([[1.0, 2.0], [3.0, 4.0]])), "c": (ids[3:], [[9.0]])})
    tables = tables.assign_add({"b": (tf.constant([-2], tf.int64), [[5.0, 6.0]])})
    tables = tables.apply_gradients({"a": (ids, tf.ones([4, 2]))}, tf.constant(0, tf.int64))
    found = tables.lookup({"a": ids, "b": tf.constant([-2, 0], tf.int64), "c": ids})
    with test_utils.ps_session(num_ps) if num_ps else tf.compat.v1.Session() as session:
      found = session.run(found)
  twice, once = 0.5 * 2 / np.sqrt(1 + 4), 0.5 / np.sqrt(1 + 1)
  np.testing.assert_allclose(
    found["a"], [[1 - twice, 2 - twice], [3 - once, 4 - once], [1 - twice, 2 - twice], [-once, -once]], rtol=1e-6
  )
  np.testing.assert_array_equal(found["b"], [[5, 6], [0, 0]])
  np.testing.assert_array_equal(found["c"], [[0], [0], [0], [9]])


def test_what_is_refused():
  configs = {"a": _config(entry.SgdOptimizer(), 1)}
  with pytest.raises(ValueError, match="reduce_network_packets is True, which is not built; leave it False, or use"):
    distributed_ps_factory.create_multi_type_hash_table(2, configs, None, reduce_network_packets=True)
  with pytest.raises(ValueError, match="num_ps is -1"):
    distributed_ps_factory.create_multi_type_hash_table(-1, configs, None)
  with pytest.raises(ValueError, match="1 sync clients for 2 parameter servers; give 2"):
    distributed_ps_factory.create_multi_type_hash_table(2, configs, None, sync_clients=[None])
