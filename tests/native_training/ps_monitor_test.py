# SPDX-License-Identifier: Apache-2.0
"""Tests of restoring only those parameter servers that have lost what they held."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import (
  basic_restore_hook,
  cpu_training,
  multi_hash_table_ops,
  save_utils,
  test_utils,
  utils,
)
from monolith.native_training._training_hooks import _MarkInitializedListener
from monolith.native_training.hooks.restart_limit_hook import SessionLostError

import tensorflow as tf  # isort: skip

_FID = 5


class _Job:
  """A variable and a table on each of two servers; everything starts at 0, a step adds 1."""

  def __init__(self, servers, model_dir, with_monitor):
    self.graph = tf.Graph()
    basename = str(model_dir / "model.ckpt")
    addresses = [server.target[len("grpc://") :] for server in servers]
    config = tf.compat.v1.ConfigProto(cluster_def=tf.train.ClusterSpec({"ps": addresses}).as_cluster_def())
    config.experimental.share_session_state_in_clusterspec_propagation = True
    with self.graph.as_default():
      monitor = save_utils.PsMonitor(2) if with_monitor else None
      self.values, updates = [], []
      for i in range(2):
        with tf.compat.v1.device(utils.ps_device(i) if i else "/job:ps/task:0"):
          v = tf.compat.v1.get_variable(f"v{i}", [], initializer=tf.compat.v1.zeros_initializer(), use_resource=True)
          table = multi_hash_table_ops.MultiHashTable.from_configs(
            {"a": test_utils.generate_test_hash_table_config(1)}, name_suffix=str(i)
          )
          fids = tf.constant([_FID], tf.int64)
          self.values += [v.read_value(), table.lookup({"a": fids})["a"][0, 0]]
          updates += [v.assign_add(1.0), table.assign_add({"a": (fids, tf.ones([1, 1]))}).handle.op]
      self.step = tf.group(*updates)
      self.saver = save_utils.PartialRecoverySaver(sharded=True, ps_monitor=monitor, model_dir=str(model_dir))
      self.save_listener = multi_hash_table_ops.MultiHashTableCheckpointSaverListener(basename)
      self.save_listener.begin()
      listeners = [multi_hash_table_ops.MultiHashTableCheckpointRestorerListener(basename, monitor)]
      if monitor is not None:
        listeners.append(_MarkInitializedListener(monitor))
      hook = basic_restore_hook.CheckpointRestorerHook(listeners)
      hook.begin()
      self.session = tf.compat.v1.Session(servers[0].target, config=config)
      self.basename = basename
      latest = save_utils.latest_checkpoint(str(model_dir))
      if latest is None:
        self.session.run(tf.compat.v1.global_variables_initializer())
      else:
        self.saver.restore(self.session, latest)
      hook.after_create_session(self.session, None)

  def save(self, step):
    with self.graph.as_default():
      self.save_listener.before_save(self.session, step)
      self.saver.save(self.session, self.basename, global_step=step)

  def read(self):
    return [float(x) for x in self.session.run(self.values)]


@pytest.mark.parametrize(
  "kept, with_monitor, expected",
  [
    ((), True, [1, 1, 1, 1]),
    ((0,), True, [2, 2, 1, 1]),
    ((0, 1), True, [2, 2, 2, 2]),
    ((0, 1), False, [1, 1, 1, 1]),
  ],
)
def test_servers_that_live_on_keep_what_they_have(tmp_path, kept, with_monitor, expected):
  servers = [tf.distribute.Server.create_local_server() for _ in range(2)]
  job = _Job(servers, tmp_path, with_monitor)
  job.session.run(job.step)
  job.save(1)
  job.session.run(job.step)
  assert job.read() == [2, 2, 2, 2]
  again = [servers[i] if i in kept else tf.distribute.Server.create_local_server() for i in range(2)]
  assert _Job(again, tmp_path, with_monitor).read() == expected


def test_only_job_and_task_of_a_device_count():
  with tf.Graph().as_default():
    monitor = save_utils.PsMonitor(1)
    with test_utils.ps_session(1) as session:
      devices = ["/job:ps/task:0", "/job:ps/task:0/device:CPU:0", "/job:ps/replica:0/task:0/device:CPU:0"]
      unknown = ["", "/job:chief/task:0", "/job:ps/task:7", "/device:CPU:0"]
      assert all(monitor.is_ps_uninitialized(session, device) for device in devices + unknown)
      for _ in range(2):
        monitor.setup_ps_initialized_state(session)
      assert not any(monitor.is_ps_uninitialized(session, device) for device in devices)
      assert all(monitor.is_ps_uninitialized(session, device) for device in unknown)


class _LoseSession(tf.compat.v1.train.SessionRunHook):
  """Loses the session after the given steps."""

  def __init__(self, *steps):
    self._steps = list(steps)
    self._step = None

  def begin(self):
    self._step = tf.compat.v1.train.get_global_step()

  def before_run(self, run_context):
    return tf.compat.v1.train.SessionRunArgs(self._step)

  def after_run(self, run_context, run_values):
    if self._steps and run_context.session.run(self._step) == self._steps[0]:
      self._steps.pop(0)
      raise tf.errors.AbortedError(None, None, "preempted")


def _train(tmp_path, hook, **kwargs):
  from native_training.cpu_training_test import _Task

  class Endless(_Task):
    num_elements = None
    rows = [[3]]

  config = cpu_training.DistributedCpuTrainingConfig(
    num_ps=2, save_checkpoints_steps=4, save_summary_steps=0, log_step_count_steps=0, **kwargs
  )
  return cpu_training.local_train_internal(Endless.params(), config, str(tmp_path), steps=10, user_hooks=[hook])


def _rows_of(directory):
  from native_training.cpu_training_test import _predict, _Task

  class Once(_Task):
    rows = [[3]]

  return _predict(Once, directory, 2)


@pytest.mark.parametrize("lost", [(6,), (5, 6, 7)])
def test_training_goes_on_after_a_lost_session_without_losing_a_step(tmp_path, lost):
  estimator = _train(tmp_path, _LoseSession(*lost), partial_recovery=True)
  assert estimator.get_variable_value("global_step") == 10
  np.testing.assert_allclose(_rows_of(tmp_path), [[-10.0] * 5])


def test_without_partial_recovery_training_goes_back_to_the_checkpoint(tmp_path):
  estimator = _train(tmp_path, _LoseSession(6), max_retry_times=1)
  assert estimator.get_variable_value("global_step") == 10
  np.testing.assert_allclose(_rows_of(tmp_path), [[-10.0] * 5])


def test_restarts_are_bounded(tmp_path):
  with pytest.raises(SessionLostError, match="lost 2 times, max_retry_times is 1"):
    _train(tmp_path, _LoseSession(6, 6), max_retry_times=1)
  assert save_utils.latest_checkpoint(str(tmp_path)).endswith("model.ckpt-4")


def test_a_session_lost_before_the_first_checkpoint_ends_the_training(tmp_path):
  with pytest.raises(SessionLostError, match="lost before the first checkpoint"):
    _train(tmp_path, _LoseSession(2), max_retry_times=5)


def test_partial_recovery_restores_in_a_new_run(tmp_path):
  for steps in (10, 20):
    estimator = _train(tmp_path, _LoseSession(), partial_recovery=True)
    assert estimator.get_variable_value("global_step") == steps
  np.testing.assert_allclose(_rows_of(tmp_path), [[-20.0] * 5])
