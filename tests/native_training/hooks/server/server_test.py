# SPDX-License-Identifier: Apache-2.0
"""Tests of the controller, on a bare loop and on a whole training run."""

from __future__ import annotations

import signal
import threading

import grpc
import numpy as np
import pytest

from monolith.native_training import barrier_ops, cpu_training, entry, feature, native_task, save_utils, tf_estimator
from monolith.native_training.hooks import session_hooks
from monolith.native_training.hooks.server import client_lib, server_lib
from monolith.native_training.hooks.server import service_pb2 as pb

import tensorflow as tf  # isort: skip


def _error(call, request):
  with pytest.raises(grpc.RpcError) as error:
    call(request)
  return error.value


def test_calls_act_between_steps(tmp_path):
  with tf.Graph().as_default():
    barrier = barrier_ops.BarrierOp(1)
    train_op = tf.compat.v1.train.get_or_create_global_step().assign_add(1)
    saver_hook = save_utils.NoFirstSaveCheckpointSaverHook(
      str(tmp_path), save_steps=100, saver=save_utils.PartialRecoverySaver()
    )
    hooks = [saver_hook, server_lib.ServerHook(str(tmp_path), barrier, saver_hook)]
    with tf.compat.v1.train.SingularMonitoredSession(hooks=hooks) as session:
      session.run(train_op)
      stub = client_lib.get_stub_from_model_dir(str(tmp_path))
      stub.StopTraining(pb.StopTrainingRequest())
      assert _error(stub.StopTraining, pb.StopTrainingRequest()).code() == grpc.StatusCode.ALREADY_EXISTS
      status = stub.GetBlockStatus(pb.GetBlockStatusRequest())
      assert (list(status.blocked_indices), list(status.unblocked_indices)) == ([0], [])
      stub.ResumeTraining(pb.ResumeTrainingRequest())
      status = stub.GetBlockStatus(pb.GetBlockStatusRequest())
      assert (list(status.blocked_indices), list(status.unblocked_indices)) == ([], [0])
      stub.SaveCheckpoint(pb.SaveCheckpointRequest())
      assert save_utils.latest_checkpoint(str(tmp_path)).endswith("model.ckpt-1")
      assert stub.GetTrainingStatus(pb.GetTrainingStatusRequest()).global_step == 1
      session.run(train_op)
    assert not (tmp_path / client_lib.ADDRESS_FILE).exists()
    with pytest.raises(FileNotFoundError, match="no training with a controller runs"):
      client_lib.get_stub_from_model_dir(str(tmp_path))


def test_failing_save_fails_the_call(tmp_path):
  class Failing:
    def trigger_save(self, session, ignore_save_errors):
      raise tf.errors.ResourceExhaustedError(None, None, "disk full")

  with tf.Graph().as_default():
    barrier = barrier_ops.BarrierOp(1)
    tf.compat.v1.train.get_or_create_global_step()
    hook = server_lib.ServerHook(str(tmp_path), barrier, Failing())
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]):
      stub = client_lib.get_stub_from_model_dir(str(tmp_path))
      error = _error(stub.SaveCheckpoint, pb.SaveCheckpointRequest())
      assert error.code() == grpc.StatusCode.INTERNAL and "disk full" in error.details()


def test_loop_that_fails_takes_its_server_down(tmp_path):
  with tf.Graph().as_default():
    barrier = barrier_ops.BarrierOp(1)
    step = tf.compat.v1.train.get_or_create_global_step()
    fails = tf.debugging.Assert(step < 0, ["broken model"])
    hook = server_lib.ServerHook(str(tmp_path), barrier, None)
    with pytest.raises(tf.errors.InvalidArgumentError, match="broken model"):
      with tf.compat.v1.train.MonitoredSession(hooks=[hook]) as session:
        stub = client_lib.get_stub_from_model_dir(str(tmp_path))
        session.run(fails)
  assert _error(stub.GetTrainingStatus, pb.GetTrainingStatusRequest()).code() == grpc.StatusCode.UNAVAILABLE


class _Task(native_task.NativeTask):
  """One embedding and one dense variable that both lose 1 each step."""

  def create_input_fn(self, mode):
    del mode
    fids = tf.ragged.constant([[3]], dtype=tf.int64, ragged_rank=1)
    return lambda: tf.data.Dataset.from_tensors({"feature": fids}).repeat(
      None if self.p.mode == tf_estimator.ModeKeys.TRAIN else 1
    )

  def create_model_fn(self):
    def model_fn(features, mode, config):
      del features, config
      slot = self.ctx.create_feature_slot(feature.FeatureSlotConfig(name="slot", slot_id=1))
      vec = slot.add_feature_slice(1, entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor())
      column = feature.FeatureColumn(slot, "feature")
      embedding = column.embedding_lookup(vec)
      dense = tf.compat.v1.get_variable("dense", [], initializer=tf.compat.v1.zeros_initializer())
      if mode == tf_estimator.ModeKeys.PREDICT:
        return tf_estimator.EstimatorSpec(mode, predictions={"row": embedding, "dense": tf.reshape(dense, [1, 1])})
      loss = tf.reduce_sum(embedding) + dense
      rows = column.get_all_embeddings_concat()
      updates = [
        self.ctx.apply_embedding_gradients(zip(tf.gradients(loss, rows), [rows])),
        dense.assign_sub(1.0),
      ]
      with tf.control_dependencies(updates):
        train_op = tf.compat.v1.train.get_global_step().assign_add(1)
      return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return model_fn


class _CountHook(tf.compat.v1.train.SessionRunHook):
  """Lets the test wait for steps."""

  def __init__(self):
    self.steps = threading.Semaphore(0)
    self.count = 0

  def after_run(self, run_context, run_values):
    self.count += 1
    self.steps.release()

  def wait(self):
    assert self.steps.acquire(timeout=120)


class _Remote(threading.Thread):
  """Controls a run from a thread of its own; `result` is what `act(stub, counter)` returned or raised."""

  def __init__(self, model_dir, counter, act):
    super().__init__(daemon=True)
    self._model_dir, self._counter, self._act = model_dir, counter, act
    self.result = None

  def run(self):
    self._counter.wait()
    try:
      self.result = self._act(client_lib.get_stub_from_model_dir(str(self._model_dir)), self._counter)
    except BaseException as error:
      self.result = error
      raise
    finally:
      signal.raise_signal(signal.SIGTERM)  # ends the run, which is endless


def _train(tmp_path, act, num_ps=0, **kwargs):
  counter = _CountHook()
  remote = _Remote(tmp_path, counter, act)
  remote.start()
  config = cpu_training.CpuTrainingConfig(num_ps=num_ps, log_step_count_steps=0, save_summary_steps=0, **kwargs)
  cpu_training.local_train_internal(_Task.params(), config, str(tmp_path), steps=None, user_hooks=[counter])
  remote.join()
  return remote.result, counter


@pytest.mark.parametrize("num_ps", [0, 2])
@pytest.mark.parametrize("overlap", [False, True])
def test_running_training_is_paused_saved_resumed(tmp_path, num_ps, overlap):
  def act(stub, counter):
    stub.StopTraining(pb.StopTrainingRequest())
    step = stub.GetTrainingStatus(pb.GetTrainingStatusRequest()).global_step
    stub.SaveCheckpoint(pb.SaveCheckpointRequest())
    saved = save_utils.latest_checkpoint(str(tmp_path))
    again = stub.GetTrainingStatus(pb.GetTrainingStatusRequest()).global_step
    while counter.steps.acquire(blocking=False):
      pass
    stub.ResumeTraining(pb.ResumeTrainingRequest())
    counter.wait()
    return step, again, saved

  overlaps = {"embedding_prefetch_capacity": 1, "enable_embedding_postpush": True} if overlap else {}
  (step, again, saved), _ = _train(tmp_path, act, num_ps, **overlaps)
  assert step == again and saved.endswith(f"model.ckpt-{step}")
  latest = save_utils.latest_checkpoint(str(tmp_path))
  assert save_utils.step_of_checkpoint(latest) > step
  # Tables and dense variables of both checkpoints are of one step.
  from monolith.native_training._local_training import LocalTraining

  for path in (saved, latest):
    params = _Task.params()
    params.mode = "infer"
    with LocalTraining(params, cpu_training.CpuTrainingConfig(num_ps=num_ps), str(tmp_path)) as local:
      (found,) = local.predict(checkpoint_path=path)
    expected = -float(save_utils.step_of_checkpoint(path))
    np.testing.assert_allclose([found["row"][0], found["dense"][0]], [expected, expected])


def test_stop_signal_ends_a_paused_training_with_a_save(tmp_path):
  def act(stub, counter):
    stub.StopTraining(pb.StopTrainingRequest())
    return stub.GetTrainingStatus(pb.GetTrainingStatusRequest()).global_step

  step, counter = _train(tmp_path, act)
  # The step that sees the signal is the last.
  assert save_utils.step_of_checkpoint(save_utils.latest_checkpoint(str(tmp_path))) == step + 1 == counter.count
  assert session_hooks.get_current_session() is None
