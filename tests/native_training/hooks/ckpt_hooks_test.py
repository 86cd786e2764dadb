# SPDX-License-Identifier: Apache-2.0
"""Tests of what surrounds a save: the barrier and the input's position."""

from __future__ import annotations


import pytest

from monolith.native_training import barrier_ops, save_utils
from monolith.native_training.data import datasets
from monolith.native_training.hooks import ckpt_hooks

import tensorflow as tf  # isort: skip


@pytest.fixture(name="graph", autouse=True)
def _graph():
  with tf.Graph().as_default() as graph:
    yield graph


class _Log(tf.compat.v1.train.CheckpointSaverListener):
  def __init__(self):
    self.log = []

  def begin(self):
    self.log.append("begin")

  def before_save(self, session, global_step_value):
    self.log.append(("before", int(global_step_value)))

  def after_save(self, session, global_step_value):
    self.log.append(("after", int(global_step_value)))


def test_save_waits_until_the_worker_is_blocked(tmp_path, monkeypatch):
  barrier = barrier_ops.BarrierOp(2)
  log, seen = _Log(), []
  guard = ckpt_hooks.BarrierSaverListener(barrier)
  train_op = tf.compat.v1.train.get_or_create_global_step().assign_add(1)
  hook = save_utils.NoFirstSaveCheckpointSaverHook(
    str(tmp_path),
    save_steps=1,
    saver=save_utils.PartialRecoverySaver(),
    listeners=[log],
    guard_saver_listeners=[guard],
  )

  class Time:
    monotonic = staticmethod(lambda: 0.0)

    @staticmethod
    def sleep(secs):
      seen.append((list(log.log), ckpt_hooks.get_ckpt_info(raw).global_step, barrier.get_unblocked_indices(raw)))
      number = barrier._number(raw)
      raw.run(barrier._write_cell, {barrier._index: 1, barrier._value: number})  # worker 1 arrives

  monkeypatch.setattr(ckpt_hooks, "time", Time)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    raw = session.raw_session()
    session.run(train_op)
    assert seen == [(["begin"], 1, [1])]
    assert log.log == ["begin", ("before", 1), ("after", 1)]
    assert barrier.is_barrier_removed(raw)


def test_save_goes_on_without_workers_that_do_not_stop():
  barrier = barrier_ops.BarrierOp(2)
  guard = ckpt_hooks.BarrierSaverListener(barrier, max_pending_seconds=0)
  with tf.compat.v1.Session() as session:
    session.run(tf.compat.v1.local_variables_initializer())
    guard.before_save(session, 7)
    assert barrier.is_barrier_placed(session)
    guard.after_save(session, 7)
    assert barrier.is_barrier_removed(session)


def test_a_barrier_that_somebody_else_placed_stays():
  barrier = barrier_ops.BarrierOp(1)
  guard = ckpt_hooks.BarrierSaverListener(barrier)
  with tf.compat.v1.Session() as session:
    session.run(tf.compat.v1.local_variables_initializer())
    barrier.place_barrier(session, "Stop")
    guard.before_save(session, 1)
    guard.after_save(session, 1)
    assert barrier.is_barrier_placed(session)


def _save_after_one(model_dir, dataset, disabled=False):
  """Reads one element, saves as step 1, and returns the next element."""
  with tf.Graph().as_default():
    if disabled:
      ckpt_hooks.disable_iterator_save_restore()
    iterator = tf.compat.v1.data.make_initializable_iterator(dataset())
    element = iterator.get_next()
    helper = ckpt_hooks.WorkerCkptHelper(str(model_dir), 0)
    save = helper.create_save_iterator_callback()
    hook = helper.create_restorer_hook()
    hook.begin()
    with tf.compat.v1.Session() as session:
      session.run([iterator.initializer, tf.compat.v1.local_variables_initializer()])
      session.run(element)
      ckpt_hooks.assign_ckpt_info(session, ckpt_hooks.WorkerCkptInfo(global_step=1))
      save("Something else", session)
      save(ckpt_hooks.SAVE_ACTION, session)
      return session.run(element)


def _first_after_restore(model_dir, dataset, disabled=False, needs_checkpoint=False):
  with tf.Graph().as_default():
    if disabled:
      ckpt_hooks.disable_iterator_save_restore()
    iterator = tf.compat.v1.data.make_initializable_iterator(dataset())
    element = iterator.get_next()
    helper = ckpt_hooks.WorkerCkptHelper(str(model_dir), 0, needs_checkpoint)
    hook = helper.create_restorer_hook()
    hook.begin()
    with tf.compat.v1.Session() as session:
      session.run(iterator.initializer)
      hook.after_create_session(session, None)
      return session.run(element)


def _four():
  return tf.data.Dataset.range(4)


def test_input_goes_on_where_the_save_left_it(tmp_path):
  assert _save_after_one(tmp_path, _four) == 1
  assert (tmp_path / "checkpoint_input_worker_0").exists() and (tmp_path / "input_worker_0.ckpt-1.index").exists()
  assert _first_after_restore(tmp_path, _four) == 1
  assert _first_after_restore(tmp_path, _four, disabled=True) == 0


def test_nothing_to_save_is_no_error(tmp_path):
  assert _save_after_one(tmp_path, _four, disabled=True) == 1
  assert list(tmp_path.iterdir()) == []
  assert _first_after_restore(tmp_path, _four) == 0
  helper = ckpt_hooks.WorkerCkptHelper(str(tmp_path), 0)
  with tf.compat.v1.Session() as session:
    session.run(tf.compat.v1.local_variables_initializer())
    helper.create_save_iterator_callback()(ckpt_hooks.SAVE_ACTION, session)
  assert list(tmp_path.iterdir()) == []


def test_state_of_a_save_that_was_not_completed_is_not_used(tmp_path):
  _save_after_one(tmp_path, _four)
  assert _first_after_restore(tmp_path, _four, needs_checkpoint=True) == 0
  (tmp_path / "model.ckpt-0.index").write_text("")
  (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-0"')
  assert _first_after_restore(tmp_path, _four) == 0
  (tmp_path / "model.ckpt-1.index").write_text("")
  (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-1"')
  assert _first_after_restore(tmp_path, _four, needs_checkpoint=True) == 1


def test_another_input_starts_from_its_beginning(tmp_path):
  _save_after_one(tmp_path, _four)
  assert _first_after_restore(tmp_path, lambda: tf.data.Dataset.from_tensor_slices([7, 8]).shuffle(1).repeat()) == 7


def test_input_that_cannot_be_saved_is_left_alone(tmp_path):
  def generated():
    return tf.data.Dataset.from_generator(lambda: iter(range(4)), output_signature=tf.TensorSpec([], tf.int64))

  assert _save_after_one(tmp_path, generated) == 1
  assert _first_after_restore(tmp_path, generated) == 0


@pytest.mark.parametrize("disabled", [True, False])
def test_a_data_set_of_the_graph_may_forbid_it(tmp_path, disabled):
  path = tmp_path / "records"
  # Sort id of no bytes, length, an Instance without fields: three times.
  path.write_bytes(b"\0" * 16 * 3)

  def dataset():
    return datasets.PBDataset(str(path), disable_iterator_save_restore=disabled).enumerate().map(lambda i, _: i)

  assert _save_after_one(tmp_path, dataset) == 1
  assert (tmp_path / "checkpoint_input_worker_0").exists() != disabled
  assert _first_after_restore(tmp_path, dataset) == (0 if disabled else 1)


def test_disabling_after_the_first_use_is_refused(tmp_path):
  tf.compat.v1.data.make_initializable_iterator(_four())
  ckpt_hooks.WorkerCkptHelper(str(tmp_path), 0).build()
  with pytest.raises(ValueError, match="comes too late"):
    ckpt_hooks.disable_iterator_save_restore()


def test_workers_state_is_shared_but_only_the_chief_initializes_it(tmp_path):
  ckpt_hooks.WorkerCkptHelper(str(tmp_path), 1)
  assert [v.op.name for v in tf.compat.v1.global_variables()] == ["WorkerCkptMetaInfo"]
