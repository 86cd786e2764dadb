# SPDX-License-Identifier: Apache-2.0
"""Tests of stopping and saving by ops and by a file."""

from __future__ import annotations

import pytest

from monolith.native_training import barrier_ops
from monolith.native_training.hooks import controller_hooks

import tensorflow as tf  # isort: skip


@pytest.fixture(name="train_op", autouse=True)
def _train_op():
  with tf.Graph().as_default():
    yield tf.compat.v1.train.get_or_create_global_step().assign_add(1)


def test_stop_op_stops_the_loop_and_the_workers(train_op):
  actions = []
  barrier = barrier_ops.BarrierOp(1, barrier_callbacks=[lambda action, session: actions.append(action)])
  hook = controller_hooks.ControllerHook(barrier_op=barrier)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    session.run(train_op)
    assert not session.should_stop()
    session.raw_session().run(hook.stop_op)
    session.run(train_op)
    assert session.should_stop() and actions == ["Stop"]
    assert barrier.is_barrier_removed(session.raw_session())


def test_stop_waits_for_workers_no_longer_than_it_may(train_op, monkeypatch):
  barrier = barrier_ops.BarrierOp(2)
  hook = controller_hooks.ControllerHook(barrier_op=barrier)
  monkeypatch.setattr(controller_hooks, "_STOP_WAIT_SECS", 0.0)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    session.raw_session().run(hook.stop_op)
    session.run(train_op)
    assert session.should_stop()


def test_trigger_saves_once(train_op):
  saves = []
  hook = controller_hooks.ControllerHook(trigger_save=saves.append)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    raw = session.raw_session()
    raw.run(hook.trigger_save_op)
    session.run(train_op)
    session.run(train_op)
    assert saves == [raw]


def test_worker_stops_at_a_stop_barrier(train_op):
  helper = controller_hooks.StopHelper()
  callback = helper.create_barrier_callback()
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[helper.create_stop_hook()]) as session:
    callback("Save", session)
    session.run(train_op)
    assert not session.should_stop()
    callback("Stop", session)
    session.run(train_op)
    assert session.should_stop() and helper.should_stop


def test_actions_by_file(train_op, tmp_path):
  saves = []
  hook = controller_hooks.ControllerHook(trigger_save=saves.append)
  query = controller_hooks.QueryActionHook(str(tmp_path), hook, query_secs=3600)
  path, response = tmp_path / "monolith_action", tmp_path / "monolith_action_response"
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook, query]) as session:
    raw = session.raw_session()
    query.query(raw)
    assert not response.exists()
    path.write_text("action: TRIGGER_SAVE")
    query.query(raw)
    assert not path.exists() and response.read_text() == "accepted: TRIGGER_SAVE\n"
    session.run(train_op)
    assert saves == [raw]
    for content, answer in (("nonsense", "not understood"), ("action: UNKNOWN", "no such action: UNKNOWN")):
      path.write_text(content)
      query.query(raw)
      assert response.read_text().startswith(answer)
    path.write_text("action: STOP")
    query.query(raw)
    session.run(train_op)
    assert session.should_stop()


def test_file_is_looked_for_while_the_loop_runs(train_op, tmp_path):
  hook = controller_hooks.ControllerHook()
  query = controller_hooks.QueryActionHook(str(tmp_path), hook, query_secs=0.001)
  (tmp_path / "monolith_action").write_text("action: STOP")
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook, query]) as session:
    while not session.should_stop():
      session.run(train_op)
  assert (tmp_path / "monolith_action_response").read_text() == "accepted: STOP\n"
