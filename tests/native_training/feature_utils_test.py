# SPDX-License-Identifier: Apache-2.0
"""Tests of the training step: clipping, optimizers, tables, the global step."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import feature, feature_utils, native_task, prefetch_queue
from monolith.native_training.feature_utils import GradClipType

import tensorflow as tf  # isort: skip


class _Column:
  """A column over a variable, so that a test sees what an update does."""

  feature_name = "f"

  def __init__(self, embedding):
    self._embedding = embedding

  def get_all_embeddings_concat(self):
    return self._embedding


class _Factory(feature.FeatureFactory):
  """Takes one step of SGD with rate 1 on what stands behind the embedding."""

  def __init__(self, table):
    super().__init__()
    self._table = table

  def create_feature_slot(self, config):
    raise NotImplementedError

  def apply_gradients(self, grads_and_vars, req_time=None, scale=1):
    ((grad, _),) = list(grads_and_vars)
    return self._table.assign_sub(grad * scale)


class _Fixture:
  def __init__(self, cut=3, dense=True, is_async=False):
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    self.step = tf.compat.v1.train.get_or_create_global_step()
    self.table = tf.compat.v1.get_variable(
      "table", [1, 4], initializer=tf.compat.v1.ones_initializer(), trainable=False
    )
    self.embedding = tf.identity(self.table)
    self.loss = tf.reduce_sum(self.embedding[:, :cut])
    if dense:
      self.v = tf.compat.v1.get_variable("v", [], initializer=tf.compat.v1.ones_initializer())
      self.loss += self.v
    self.manager = prefetch_queue.AsyncFunctionMgr(is_async=is_async)
    self.ctx = native_task.NativeContext(_Factory(self.table), self.manager)

  def apply(self, **kwargs):
    optimizer = kwargs.pop("var_opt", None) or tf.compat.v1.train.GradientDescentOptimizer(1.0)
    return feature_utils.apply_gradients_with_var_optimizer(
      self.ctx, [_Column(self.embedding)], optimizer, self.loss, **kwargs
    )

  def run(self, op, times=1):
    values = [self.table, self.step, *([self.v] if hasattr(self, "v") else [])]
    with tf.compat.v1.train.SingularMonitoredSession(hooks=self.manager.hooks) as session:
      for _ in range(times):
        session.run(op)
      return session.raw_session().run(values)


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    yield


def test_global_norm_takes_dense_and_sparse_together():
  fixture = _Fixture()
  table, step, v = fixture.run(fixture.apply(clip_norm=1.0))
  # Three gradients of 1 and one of the variable: norm 2.
  np.testing.assert_allclose(table, [[0.5, 0.5, 0.5, 1.0]])
  np.testing.assert_allclose(v, 0.5)
  assert step == 1


def test_no_clip_and_no_dense_variable():
  fixture = _Fixture(dense=False)
  table, step = fixture.run(fixture.apply(clip_type=GradClipType.NoClip))
  np.testing.assert_allclose(table, [[0.0, 0.0, 0.0, 1.0]])
  assert step == 1


def test_without_any_gradient_the_step_still_advances():
  fixture = _Fixture(dense=False)
  fixture.loss = tf.constant(1.0)
  assert fixture.run(fixture.apply(clip_norm=1.0))[1] == 1


def test_asynchronous_manager_runs_dense_updates_a_step_later():
  fixture = _Fixture(is_async=True)
  table, _, v = fixture.run(fixture.apply(clip_type=GradClipType.NoClip), times=3)
  np.testing.assert_allclose(v, -1.0)
  np.testing.assert_allclose(table, [[-2.0, -2.0, -2.0, 1.0]])


def test_by_value():
  fixture = _Fixture()
  table, _, v = fixture.run(fixture.apply(clip_type=GradClipType.ClipByValue, clip_norm=0.25))
  np.testing.assert_allclose(table, [[0.75, 0.75, 0.75, 1.0]])
  np.testing.assert_allclose(v, 0.75)


def test_by_norm_of_each_tensor():
  fixture = _Fixture()
  table, _, v = fixture.run(fixture.apply(clip_type=GradClipType.ClipByNorm, clip_norm=0.5))
  np.testing.assert_allclose(table, [[*[1 - 0.5 / np.sqrt(3)] * 3, 1.0]], rtol=1e-6)
  np.testing.assert_allclose(v, 0.5)


@pytest.mark.parametrize("sparse_clip_norm, moved", [(None, 1.0), (np.sqrt(3) / 2, 0.5)])
def test_dense_and_sparse_norms_apart(sparse_clip_norm, moved):
  fixture = _Fixture()
  op = fixture.apply(clip_type=GradClipType.ClipByDenseAndSparse, clip_norm=0.1, sparse_clip_norm=sparse_clip_norm)
  table, _, v = fixture.run(op)
  np.testing.assert_allclose(table, [[*[1 - moved] * 3, 1.0]], atol=1e-6)
  np.testing.assert_allclose(v, 0.9, rtol=1e-6)


def test_sparse_limit_of_its_own_warms_up():
  fixture = _Fixture()
  op = fixture.apply(clip_norm=1.0, sparse_clip_norm=2.0, sparse_norm_warmup_steps=2)
  table, _, v = fixture.run(op, times=2)
  # Norm 2. Step 0: the sparse limit is 0. Step 1: half of 2.
  np.testing.assert_allclose(table, [[0.5, 0.5, 0.5, 1.0]], rtol=1e-6)
  np.testing.assert_allclose(v, 0.0, atol=1e-6)


def test_dense_mean_comes_before_the_norm_for_every_clip_type():
  for kind in (GradClipType.NoClip, GradClipType.ClipByValue, GradClipType.ClipByNorm, GradClipType.ClipByGlobalNorm):
    with tf.Graph().as_default():
      fixture = _Fixture(cut=0)
      _, _, v = fixture.run(fixture.apply(clip_type=kind, clip_norm=10.0, dense_reduce_mean=True, batch_size=4))
      np.testing.assert_allclose(v, 0.75)


def test_weight_decay_comes_after_clipping():
  fixture = _Fixture(cut=0)
  _, _, v = fixture.run(fixture.apply(clip_norm=0.5, dense_weight_decay=0.25))
  np.testing.assert_allclose(v, 1 - 0.5 - 0.25)


def test_variables_with_an_optimizer_of_their_own():
  fixture = _Fixture()
  fixture.v.optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.5)
  other = tf.compat.v1.get_variable("other", [], initializer=tf.compat.v1.ones_initializer())
  fixture.loss += other
  op = fixture.apply(clip_type=GradClipType.NoClip)
  _, _, v = fixture.run(op)
  np.testing.assert_allclose(v, 0.5)


def test_all_variables_with_their_own_optimizer():
  fixture = _Fixture()
  fixture.v.optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.5)
  np.testing.assert_allclose(fixture.run(fixture.apply(clip_norm=None))[2], 0.5)


def test_gathered_variables_keep_sparse_gradients():
  fixture = _Fixture(cut=0)
  rows = tf.compat.v1.get_variable("rows", [3, 1], initializer=tf.compat.v1.ones_initializer())
  fixture.loss += tf.reduce_sum(tf.gather(rows, [1, 1]))
  op = fixture.apply(clip_norm=100.0)
  with tf.compat.v1.Session() as session:
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(op)
    np.testing.assert_allclose(session.run(rows), [[1.0], [-1.0], [1.0]])


def test_infinite_norm_gives_nan_not_silence():
  fixture = _Fixture(cut=0)
  fixture.loss *= np.inf
  assert np.isnan(fixture.run(fixture.apply(clip_norm=1.0))[2])


def test_summaries():
  fixture = _Fixture()
  fixture.apply(clip_norm=1.0, grads_and_vars_summary=True)
  tags = [t.op.name for t in tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)]
  for tag in (
    "global_gradient_norm",
    "variable_gradient",
    "trainable_variable/v_0",
    "gradient_norm/v_0",
    "dense_grad_total_num",
    "f_gradient",
  ):
    assert tag in tags


@pytest.mark.parametrize(
  ("feature_name", "names", "trained"),
  [("f_uid", ["uid"], [1, 0]), ("f_uue", ["f_long"], [0, 1]), ("f_item", ["uid"], [1, 1]), ("f_uue", [], [1, 1])],
)
def test_only_embeddings_long_enough_are_trained_under_ue_gradient_check(feature_name, names, trained):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    table = tf.compat.v1.get_variable("table", initializer=tf.constant([[3.0, 4.0], [0.3, 0.4]]), trainable=False)
    embedding = tf.identity(table)
    column = _Column(embedding)
    column.feature_name = feature_name
    op = feature_utils.apply_gradients_with_var_optimizer(
      native_task.NativeContext(_Factory(table), prefetch_queue.AsyncFunctionMgr(is_async=False)),
      [column],
      tf.compat.v1.train.GradientDescentOptimizer(1.0),
      tf.reduce_sum(embedding),
      ue_gradient_check=True,
      ue_fc_names=names,
      ue_euclidean_norm_threshold=1.0,
      features={"uid": embedding, "f_long": tf.constant([[0.5, 0.5], [2.0, 0.0]])},
    )
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(op)
    expected = np.array([[3.0, 4.0], [0.3, 0.4]]) - np.array(trained)[:, np.newaxis]
    np.testing.assert_allclose(session.run(table), expected, rtol=1e-6)


def test_ue_gradient_check_names_missing_embeddings():
  with pytest.raises(KeyError, match="features lack 'f', which ue_fc_names has"):
    _Fixture().apply(ue_gradient_check=True, ue_fc_names=["f"])


@pytest.mark.parametrize("name", ["use_allreduce"])
def test_what_is_for_later_is_refused_by_name(name):
  with pytest.raises(ValueError, match=f"{name} is not supported yet"):
    _Fixture().apply(**{name: True})


def test_caller_mistakes():
  with pytest.raises(AssertionError, match="var_opt is SGD"):
    _Fixture().apply(var_opt=tf.keras.optimizers.SGD(1.0))
  with tf.Graph().as_default():
    with pytest.raises(ValueError, match="ClipByValue needs clip_norm"):
      _Fixture().apply(clip_type=GradClipType.ClipByValue)
  with tf.Graph().as_default():
    with pytest.raises(ValueError, match="clip_norm is -1"):
      _Fixture().apply(clip_norm=-1.0)


def test_the_constant_that_counts_steps_is_beside_the_counter():
  with tf.Graph().as_default() as graph:
    with graph.device(tf.compat.v1.train.replica_device_setter(ps_tasks=2, worker_device="/job:chief/task:0")):
      fixture = _Fixture()
      fixture.apply()
    ops = graph.get_operations()
    (added,) = [
      op.inputs[1].op for op in ops if op.type == "AssignAddVariableOp" and op.inputs[0] is fixture.step.handle
    ]
    assert added.type == "Const" and added.device == fixture.step.device and "/job:ps" in added.device
