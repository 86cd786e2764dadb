# SPDX-License-Identifier: Apache-2.0
"""Tests of dense variables that are read ahead of the step and updated behind it."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import entry, estimator, native_model, save_utils, tf_estimator, variables

import tensorflow as tf  # isort: skip

_RATE = 0.1


@pytest.fixture(name="graph", autouse=True)
def _graph():
  with tf.Graph().as_default() as graph:
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    yield graph


def _variable(name="v", value=1.0, shape=(), **kwargs):
  with tf.variable_creator_scope(variables.cached_variable_creator):
    return tf.compat.v1.get_variable(name, shape, initializer=tf.compat.v1.constant_initializer(value), **kwargs)


def test_step_reads_what_was_there_before_the_last_step():
  v = _variable()
  read, true = v.value(), v.read_value()
  # Everything that reads does so before the update.
  with tf.control_dependencies([read, true]):
    update = v.assign_add(1.0, read_value=False)
  hook = variables.FetchAllCachedVariablesHook()
  seen = []
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    for _ in range(5):
      seen.append(session.run([read, true, update])[:2])
  for step, (cached, held) in enumerate(seen):
    assert held == 1.0 + step
    # At most one update behind, and never ahead.
    assert cached in (held, held - 1.0)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_gradients_are_those_of_the_variable(shape):
  rng = np.random.default_rng(1)
  x, start = rng.normal(size=shape).astype(np.float32), 0.5
  v = _variable(value=start, shape=shape)
  loss = tf.reduce_sum(tf.sin(v * x))
  (grad,) = tf.gradients(loss, [v])
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[variables.FetchAllCachedVariablesHook()]) as session:
    np.testing.assert_allclose(session.run(grad), x * np.cos(start * x), rtol=1e-6)


def test_training_is_gradient_descent_with_a_delay():
  v = _variable(value=4.0)
  loss = v * v
  step = tf.compat.v1.train.get_or_create_global_step()
  op = tf.compat.v1.train.GradientDescentOptimizer(_RATE).minimize(loss, global_step=step)
  losses = []
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[variables.FetchAllCachedVariablesHook()]) as session:
    for _ in range(30):
      losses.append(session.run([loss, op])[0])
    assert losses[0] == 16.0 and losses[-1] < 0.1


def test_keras_layers_are_cached_and_moving_averages_are_not():
  with tf.variable_creator_scope(variables.cached_variable_creator):
    dense, norm = tf.keras.layers.Dense(2), tf.keras.layers.BatchNormalization()
    norm(dense(tf.ones([4, 3])), training=True)
    counter = tf.compat.v1.get_variable("counter", [], tf.int64, trainable=True)
  cached = {c.variable.op.name for c in variables._all_cached()}
  assert cached == {w.op.name for w in (*dense.trainable_weights, *norm.trainable_weights)}
  assert counter.op.name not in cached
  assert len(tf.compat.v1.local_variables()) == 2 * len(cached)


def test_copies_follow_a_restore(tmp_path):
  v = _variable()
  read = v.value()
  saver = save_utils.PartialRecoverySaver()
  update = v.assign(7.0, read_value=False)
  with tf.compat.v1.Session() as session:
    session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.local_variables_initializer()])
    session.run(update)
    # A checkpoint holds the variable, not what was read ahead.
    saver.save(session, str(tmp_path / "model.ckpt"))
  scaffold = tf.compat.v1.train.Scaffold(saver=saver)
  with tf.compat.v1.train.SingularMonitoredSession(
    hooks=[variables.FetchAllCachedVariablesHook()], scaffold=scaffold, checkpoint_dir=str(tmp_path)
  ) as session:
    assert session.run(read) == 7.0


class _Model(native_model.MonolithModel):
  """Every step moves the dense variable and the fid's row by 1."""

  def input_fn(self, mode):
    fids = tf.RaggedTensor.from_row_splits(tf.constant([1], tf.int64), [0, 1])
    dataset = tf.data.Dataset.from_tensors({"fid": fids})
    return dataset.repeat() if mode == tf_estimator.ModeKeys.TRAIN else dataset

  def model_fn(self, features, mode):
    self.lookup_embedding_slice(
      ["fid"],
      "s",
      slice_dim=1,
      initializer=entry.ZerosInitializer(),
      optimizer=entry.SgdOptimizer(1.0),
      compressor=entry.Fp32Compressor(),
    )
    rows = self.fc_dict["fid"].get_all_embeddings_concat()
    dense = tf.compat.v1.get_variable("dense", [], initializer=tf.compat.v1.zeros_initializer())
    pred = {"row": tf.reduce_sum(rows, axis=0), "dense": tf.reshape(dense, [1])}
    if mode == tf_estimator.ModeKeys.PREDICT:
      return native_model.EstimatorSpec(label=None, pred=pred)
    loss = -tf.reduce_sum(rows) - dense
    return native_model.EstimatorSpec(
      label=None, pred=pred, loss=loss, optimizer=tf.compat.v1.train.GradientDescentOptimizer(1.0)
    )

  def serving_input_receiver_fn(self):
    raise NotImplementedError


@pytest.mark.parametrize("num_ps", [0, 2])
@pytest.mark.parametrize(
  "settings",
  [
    ("enable_variable_prefetch",),
    ("enable_variable_postpush",),
    ("enable_variable_prefetch", "enable_variable_postpush", "enable_embedding_postpush"),
  ],
)
def test_training_applies_every_gradient_and_counts_every_step(tmp_path, num_ps, settings):
  params = _Model.params()
  params.clip_norm = None
  params.train.per_replica_batch_size = 1
  config = estimator.RunnerConfig(
    is_local=True,
    num_ps=num_ps,
    model_dir=str(tmp_path),
    save_checkpoints_steps=4,
    save_summary_steps=0,
    log_step_count_steps=0,
    **dict.fromkeys(settings, True),
  )
  trained = estimator.Estimator(params, config)
  trained.train(max_steps=10)
  for path in ("model.ckpt-4", "model.ckpt-10"):
    step = save_utils.step_of_checkpoint(path)
    (found,) = trained.predict(checkpoint_path=str(tmp_path / path))
    assert found == {"row": step, "dense": step}
  assert save_utils.latest_checkpoint(str(tmp_path)).endswith("model.ckpt-10")
