# SPDX-License-Identifier: Apache-2.0
"""Tests of starting from a checkpoint with fresh or renamed dense variables."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import (
  basic_restore_hook,
  cpu_training,
  dense_reload_utils,
  entry,
  feature,
  native_task,
  save_utils,
  tf_estimator,
)

import tensorflow as tf  # isort: skip


def test_names():
  assert dense_reload_utils.node_name("^a/b:0") == "a/b"
  assert dense_reload_utils.get_new_name("a/a/b/a") == "a/b/a"
  assert dense_reload_utils.split_name("dense_12") == ("dense_", 12)
  assert dense_reload_utils.split_name("dense") == ("dense_", 0)
  assert dense_reload_utils.infer_variable_name("w/part_3") == "w"
  assert dense_reload_utils.infer_variable_name("w/part_3/Adagrad:0") == "w/part_3/Adagrad"


def test_guess_goes_by_counters_and_repeated_parts():
  shapes = {"kernel": [2, 3], "bias": [3]}
  saved = {f"net/net/dense_{i}/{kind}": shape for i in (9, 10) for kind, shape in shapes.items()}
  wanted = {f"net/dense{suffix}/{kind}": shape for suffix in ("", "_1") for kind, shape in shapes.items()}
  # 9 comes before 10, though not in the alphabet.
  expected = {
    f"net/dense{suffix}/{kind}": f"net/net/dense_{i}/{kind}" for suffix, i in (("", 9), ("_1", 10)) for kind in shapes
  }
  assert dense_reload_utils.guess_alias_map(wanted, saved) == expected
  assert dense_reload_utils.guess_alias_map(wanted, {**saved, "net/dense_11/bias": [3]}) is None
  assert dense_reload_utils.guess_alias_map({"a": [1]}, {"b": [1]}) is None
  assert dense_reload_utils.guess_alias_map({"d/kernel": [1]}, {"d_1/kernel": [2]}) is None


def test_rules_come_first(monkeypatch):
  monkeypatch.setattr(dense_reload_utils, "_rules", [])
  dense_reload_utils.add_mapping_rules({"^new/": "old/"})
  assert dense_reload_utils.guess_alias_map({"new/w": [1]}, {"old/w": [1], "old/v": [1]}) == {"new/w": "old/w"}


def _checkpoint(directory, **values):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    for name, value in values.items():
      tf.compat.v1.get_variable(name.replace("__", "/"), initializer=value, use_resource=True)
    step = tf.compat.v1.train.get_or_create_global_step()
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(step.assign(30))
    return tf.compat.v1.train.Saver().save(session, str(directory / "model.ckpt"), global_step=30)


def test_saved_variable_is_cut_into_parts(tmp_path):
  value = np.arange(1280 * 512, dtype=np.float32).reshape(1280, 512)
  checkpoint = _checkpoint(tmp_path, partition=value, other=np.float32(3.0))
  with tf.Graph().as_default():
    partitioner = tf.compat.v1.variable_axis_size_partitioner(max_shard_bytes=131072)
    parts = list(tf.compat.v1.get_variable("partition2", [1280, 512], partitioner=partitioner, use_resource=True))
    other = tf.compat.v1.get_variable("other", [], use_resource=True)
    assert len(parts) == 20
    placeholders, _ = dense_reload_utils._placeholders_for([*parts, other])
    feed = dense_reload_utils.calc_feed_dict(checkpoint, {"partition2": "partition"}, placeholders)
    assert [feed[p].shape for p in placeholders] == [tuple(v.shape) for v in [*parts, other]]
    np.testing.assert_array_equal(np.concatenate([feed[p] for p in placeholders[:-1]]), value)
    assert dense_reload_utils.calc_feed_dict(checkpoint, {"unused": "partition"}, placeholders[-1:]) is None
    with pytest.raises(ValueError, match="no variable 'gone' for the model's 'other'"):
      dense_reload_utils.calc_feed_dict(checkpoint, {"other": "gone"}, placeholders[-1:])
    with pytest.raises(ValueError, match=r"holds \[1280, 512\] for the model's 'other', which is \[\]"):
      dense_reload_utils.calc_feed_dict(checkpoint, {"other": "partition"}, placeholders[-1:])


def _restored(directory, names, **kwargs):
  """Values of the variables and the global step after a restore."""
  with tf.Graph().as_default():
    held = [tf.compat.v1.get_variable(n, initializer=0.5, use_resource=True) for n in names]
    held.append(tf.compat.v1.train.get_or_create_global_step())
    listener = dense_reload_utils.CustomRestoreListener(model_dir=str(directory), **kwargs)
    hook = basic_restore_hook.CheckpointRestorerHook([listener])
    saver = save_utils.PartialRecoverySaver(defer_build=True, sharded=True)
    scaffold = tf.compat.v1.train.Scaffold(saver=saver)
    read = [v.read_value() for v in held]
    with tf.compat.v1.train.SingularMonitoredSession(
      [hook], scaffold=scaffold, checkpoint_dir=str(directory)
    ) as session:
      return [float(x) for x in session.run(read)]


def test_variables_under_old_names_with_their_optimizer_state(tmp_path):
  _checkpoint(tmp_path, a__w=1.0, a__w__Adagrad=2.0, b=3.0)
  names = ["new/w", "new/w/Adagrad", "b"]
  assert _restored(tmp_path, names, alias_map={"new/w": "a/w"}) == [1.0, 2.0, 3.0, 30.0]
  with pytest.raises(ValueError, match=r"renames \['typo'\], but the model has no such"):
    _restored(tmp_path, names, alias_map={"typo": "a/w"})


def test_guessed_names_and_their_limits(tmp_path):
  _checkpoint(tmp_path, dense_3__w=1.0, b=3.0)
  assert _restored(tmp_path, ["dense/w", "b"]) == [1.0, 3.0, 30.0]
  for names, kwargs in ((["dense/w", "b"], {"enable_alias_map_auto_gen": False}), (["unknown", "b"], {})):
    with pytest.raises(tf.errors.NotFoundError, match=names[0]):
      _restored(tmp_path, names, **kwargs)
  assert _restored(tmp_path, ["dense_3/w", "b"]) == [1.0, 3.0, 30.0]


@pytest.mark.parametrize("continue_training, step", [(False, 0.0), (True, 30.0)])
def test_fresh_variables_until_the_next_checkpoint(tmp_path, continue_training, step):
  _checkpoint(tmp_path, w=1.0)
  kwargs = {"clear_nn": True, "continue_training": continue_training}
  # A run that saves nothing leaves it to the next one.
  for _ in range(2):
    assert _restored(tmp_path, ["w"], **kwargs) == [0.5, step]
    assert (tmp_path / "clear_nn").exists()
  _checkpoint(tmp_path, w=2.0)
  assert _restored(tmp_path, ["w"], **kwargs) == [2.0, 30.0]


def test_an_empty_marker_forbids_it(tmp_path):
  _checkpoint(tmp_path, w=1.0)
  (tmp_path / "clear_nn").write_text("")
  assert _restored(tmp_path, ["w"], clear_nn=True) == [1.0, 30.0]


def test_contradictions():
  with pytest.raises(ValueError, match="give one of them"):
    dense_reload_utils.CustomRestoreListener(alias_map={"a": "b"}, clear_nn=True)
  with pytest.raises(ValueError, match="set both, or none"):
    dense_reload_utils.CustomRestoreListener(continue_training=True)


class _Task(native_task.NativeTask):
  """A row and a dense variable that each lose 1 a step; the variable's name is to be set."""

  dense_name = "dense"
  dense_step = 1.0

  def create_input_fn(self, mode):
    fids = tf.ragged.constant([[3]], dtype=tf.int64, ragged_rank=1)
    dataset = tf.data.Dataset.from_tensors({"feature": fids})
    return lambda: dataset if mode == "infer" else dataset.repeat()

  def create_model_fn(self):
    def model_fn(features, mode, config):
      slot = self.ctx.create_feature_slot(feature.FeatureSlotConfig(name="slot", slot_id=1))
      vec = slot.add_feature_slice(1, entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor())
      column = feature.FeatureColumn(slot, "feature")
      embedding = column.embedding_lookup(vec)
      dense = tf.compat.v1.get_variable(self.dense_name, [], initializer=tf.compat.v1.zeros_initializer())
      if mode == tf_estimator.ModeKeys.PREDICT:
        return tf_estimator.EstimatorSpec(mode, predictions=tf.stack([embedding[0, 0], dense])[None])
      rows = column.get_all_embeddings_concat()
      grads = tf.gradients(tf.reduce_sum(embedding), rows)
      with tf.control_dependencies(
        [self.ctx.apply_embedding_gradients(zip(grads, [rows])), dense.assign_sub(self.dense_step)]
      ):
        train_op = tf.compat.v1.train.get_global_step().assign_add(1)
      return tf_estimator.EstimatorSpec(mode, loss=tf.reduce_sum(embedding), train_op=train_op)

    return model_fn


class _Renamed(_Task):
  dense_name = "renamed"


def _train(task, tmp_path, steps, num_ps=0, **kwargs):
  from monolith.native_training._local_training import LocalTraining

  config = cpu_training.CpuTrainingConfig(num_ps=num_ps, log_step_count_steps=0, save_summary_steps=0, **kwargs)
  estimator = cpu_training.local_train_internal(task.params(), config, str(tmp_path), steps=steps)
  with LocalTraining(task.params(), cpu_training.CpuTrainingConfig(num_ps=num_ps), str(tmp_path)) as local:
    (found,) = local.predict()
  return [*found.tolist(), estimator.get_variable_value("global_step")]


@pytest.mark.parametrize("num_ps", [0, 2])
def test_training_keeps_the_tables(tmp_path, num_ps):
  assert _train(_Task, tmp_path, 3, num_ps) == [-3, -3, 3]
  assert _train(_Task, tmp_path, 2, num_ps, clear_nn=True, continue_training=True) == [-5, -2, 5]
  assert _train(_Task, tmp_path, 2, num_ps, clear_nn=True, continue_training=True) == [-7, -4, 7]
  assert _train(_Renamed, tmp_path, 1, num_ps, reload_alias_map={"renamed": "dense"}) == [-8, -5, 8]


def test_fresh_variables_and_a_fresh_step_are_done_once(tmp_path):
  assert _train(_Task, tmp_path, 3) == [-3, -3, 3]

  class Half(_Task):
    dense_step = 0.5

  # The new checkpoint is of the same step as the old one.
  assert _train(Half, tmp_path, 3, clear_nn=True) == [-6, -1.5, 3]
  assert _train(Half, tmp_path, 1, clear_nn=True) == [-7, -2, 4]
