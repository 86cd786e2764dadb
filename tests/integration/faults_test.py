# SPDX-License-Identifier: Apache-2.0
"""What goes wrong while training is named, and leaves the last complete checkpoint as it is."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

import monolith
from monolith.native_training import cpu_training, save_utils
from monolith.native_training._local_training import LocalTraining

from integration.faults_job import NUM_ROWS, SAVE_EVERY_STEPS, ManyRows  # isort: skip
from native_training.dense_reload_utils_test import _Task  # isort: skip

import tensorflow as tf  # isort: skip

_JOB = pathlib.Path(__file__).with_name("faults_job.py")
_OVERLAP = {"embedding_prefetch_capacity": 1, "enable_embedding_postpush": True}


def _predict(task, model_dir, num_ps=0):
  with LocalTraining(task.params(), cpu_training.CpuTrainingConfig(num_ps=num_ps), str(model_dir)) as local:
    return np.array(list(local.predict()))


def _train(task, model_dir, steps, num_ps=0, hooks=None, **kwargs):
  config = cpu_training.CpuTrainingConfig(num_ps=num_ps, save_summary_steps=0, log_step_count_steps=0, **kwargs)
  return cpu_training.local_train_internal(task.params(), config, str(model_dir), steps=steps, user_hooks=hooks)


class _FailingTask(_Task):
  """Its model meets `fault(step)` in each step."""

  def fault(self, step):
    raise NotImplementedError

  def create_model_fn(self):
    model_fn = super().create_model_fn()

    def with_fault(features, mode, config):
      spec = model_fn(features, mode, config)
      if mode == "infer":
        return spec
      # The dry run builds the model without a loop, hence without a step.
      step = tf.compat.v1.train.get_or_create_global_step()
      with tf.control_dependencies([spec.train_op]):
        extra = tf.numpy_function(self.fault, [step.read_value()], tf.float32)
      extra.set_shape([])
      return spec._replace(loss=spec.loss + extra, train_op=tf.group(spec.train_op, extra))

    return with_fault


def test_nan_loss_ends_training_with_step_and_names_and_is_not_saved(tmp_path):
  class Nan(_Task):
    def create_model_fn(self):
      model_fn = super().create_model_fn()

      def with_nan(features, mode, config):
        spec = model_fn(features, mode, config)
        if mode == "infer":
          return spec
        bad = tf.compat.v1.get_variable("bad", [], initializer=tf.compat.v1.zeros_initializer())
        step = tf.compat.v1.train.get_or_create_global_step()
        with tf.control_dependencies([spec.train_op]):
          update = bad.assign(tf.where(step.read_value() >= 6, np.nan, 0.0))
        loss = tf.identity(spec.loss + update, name="my_loss")
        return spec._replace(loss=loss, train_op=tf.group(spec.train_op, update))

      return with_nan

  with pytest.raises(
    tf.compat.v1.train.NanLossDuringTrainingError, match=r"'my_loss:0' is NaN at global step 6"
  ) as error:
    _train(Nan, tmp_path, 20, save_checkpoints_steps=3)
  assert "not finite: ['bad']" in str(error.value)
  # Step 6 would have been saved.
  assert save_utils.latest_checkpoint(str(tmp_path)).endswith("model.ckpt-3")


@pytest.mark.parametrize("num_ps", [0, 2])
@pytest.mark.parametrize("overlap", [{}, _OVERLAP])
def test_model_code_that_raises_ends_training_and_leaves_the_checkpoint(tmp_path, num_ps, overlap):
  class Raises(_FailingTask):
    def fault(self, step):
      if step >= 5:
        raise ZeroDivisionError("a bug in the model")
      return np.float32(0.0)

  with pytest.raises(tf.errors.OpError, match="a bug in the model"):
    _train(Raises, tmp_path, 20, num_ps, save_checkpoints_steps=2, **overlap)
  latest = save_utils.latest_checkpoint(str(tmp_path))
  step = save_utils.step_of_checkpoint(latest)
  assert step == 4
  assert _predict(_Task, tmp_path, num_ps).tolist() == [[-step, -step]]
  assert not (tmp_path / "controller_server_addr.txt").exists()
  # And it can go on.
  _train(_Task, tmp_path, 2, num_ps)
  assert _predict(_Task, tmp_path, num_ps).tolist() == [[-6, -6]]


@pytest.mark.parametrize("num_ps", [0, 2])
def test_full_disk_is_named_and_leaves_the_checkpoint(tmp_path, num_ps):
  root = pathlib.Path(monolith.__file__).parent.parent
  path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
  done = subprocess.run(
    [sys.executable, str(_JOB), str(tmp_path), str(num_ps)],
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": path},
  )
  assert done.returncode != 0
  # The system's words for a file that may not grow, and which file it was.
  assert "File too large" in done.stderr and f"model.ckpt-{2 * SAVE_EVERY_STEPS}" in done.stderr
  assert "trying once more" in done.stderr
  assert save_utils.latest_checkpoint(str(tmp_path)).endswith(f"model.ckpt-{SAVE_EVERY_STEPS}")
  found = _predict(ManyRows, tmp_path, num_ps)
  np.testing.assert_allclose(found, np.full([1, 4], -float(SAVE_EVERY_STEPS * NUM_ROWS)))
  # With room again the same step is saved anew.
  _train(ManyRows, tmp_path, SAVE_EVERY_STEPS, num_ps)
  found = _predict(ManyRows, tmp_path, num_ps)
  np.testing.assert_allclose(found, np.full([1, 4], -2.0 * SAVE_EVERY_STEPS * NUM_ROWS))


def test_save_that_fails_for_good_ends_training_and_a_passing_failure_does_not(tmp_path):
  failures = []

  class Fails(tf.compat.v1.train.CheckpointSaverListener):
    def __init__(self, times):
      self._times = times

    def before_save(self, session, global_step_value):
      if self._times:
        self._times -= 1
        failures.append(global_step_value)
        raise tf.errors.ResourceExhaustedError(None, None, "no space left on device")

  def train(directory, times):
    original = cpu_training.save_utils.NoFirstSaveCheckpointSaverHook.__init__

    def with_listener(self, *args, listeners=None, **kwargs):
      original(self, *args, listeners=[*(listeners or ()), Fails(times)], **kwargs)

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(save_utils.NoFirstSaveCheckpointSaverHook, "__init__", with_listener)
      _train(_Task, directory, 4, save_checkpoints_steps=2)

  train(tmp_path / "once", 1)
  assert failures == [2] and save_utils.latest_checkpoint(str(tmp_path / "once")).endswith("-4")
  with pytest.raises(tf.errors.ResourceExhaustedError, match="no space left on device"):
    train(tmp_path / "always", 1000)
  assert save_utils.latest_checkpoint(str(tmp_path / "always")) is None


@pytest.mark.parametrize(
  "num_ps, lost, message",
  [
    (0, "MonolithMultiHashTable_-", "holds nothing of multi hash table 'MonolithMultiHashTable_'"),
    (0, "MonolithMultiHashTable_.meta", "MonolithMultiHashTable_.meta"),
    (2, "MonolithMultiHashTable_0-", "lost the files of MonolithMultiHashTable_0;"),
    (2, "MonolithMultiHashTable_0", "lost the files of MonolithMultiHashTable_0;"),
    (2, "MonolithMultiHashTable_1-", "lost the files of MonolithMultiHashTable_1;"),
    (2, "MonolithMultiHashTable_1", "holds 0 entries of table 'feature', but .*ckpt.info-2 counts 1"),
  ],
)
def test_lost_table_files_are_named_at_restore(tmp_path, num_ps, lost, message):
  _train(_Task, tmp_path, 2, num_ps)  # fid 3 is on server 1 of 2
  for path in (tmp_path / "model.ckpt-2.assets").iterdir():
    if path.name.startswith(lost):
      path.unlink()
  with pytest.raises((ValueError, tf.errors.OpError), match=message):
    _train(_Task, tmp_path, 2, num_ps)
  assert save_utils.latest_checkpoint(str(tmp_path)).endswith("model.ckpt-2")


@pytest.mark.parametrize("num_ps", [0, 2])
def test_sigterm_saves_before_it_ends(tmp_path, num_ps):
  class Terminate(tf.compat.v1.train.SessionRunHook):
    steps = 0

    def after_run(self, run_context, run_values):
      self.steps += 1
      if self.steps == 5:
        signal.raise_signal(signal.SIGTERM)

  estimator = _train(_Task, tmp_path, None, num_ps, hooks=[Terminate()], save_checkpoints_steps=1000, **_OVERLAP)
  assert estimator.stop_signal == signal.SIGTERM
  assert _predict(_Task, tmp_path, num_ps).tolist() == [[-5, -5]]
