# SPDX-License-Identifier: Apache-2.0
"""Tests of the barrier between steps."""

from __future__ import annotations

import threading

import pytest

from monolith.native_training import barrier_ops

import tensorflow as tf  # isort: skip


@pytest.fixture(name="graph", autouse=True)
def _graph():
  with tf.Graph().as_default() as graph:
    yield graph


def _session():
  session = tf.compat.v1.Session()
  session.run(tf.compat.v1.local_variables_initializer())
  return session


class _Naps:
  """Stands for `time`: a nap says that the worker waits, and runs what the test wants done meanwhile."""

  def __init__(self, *actions):
    self.actions = list(actions)
    self.waiting = threading.Semaphore(0)
    self.go_on = threading.Semaphore(0)

  def sleep(self, seconds):
    del seconds
    if self.actions:
      self.actions.pop(0)()
      return
    self.waiting.release()
    assert self.go_on.acquire(timeout=60)


def test_place_and_remove():
  barrier = barrier_ops.BarrierOp(2)
  with _session() as session:
    assert barrier.is_barrier_removed(session) and barrier.is_none_blocked(session)
    barrier.place_barrier(session, "why")
    assert barrier.is_barrier_placed(session) and session.run(barrier.barrier_placed_tensor)
    with pytest.raises(barrier_ops.BarrierAlreadyPlacedError, match="already placed, for 'why'"):
      barrier.place_barrier(session)
    assert barrier.get_blocked_indices(session) == [0] and barrier.get_unblocked_indices(session) == [1]
    for _ in range(2):
      barrier.remove_barrier(session)
      assert barrier.is_barrier_removed(session)
    barrier.place_barrier(session)
    assert barrier.is_barrier_placed(session) and barrier.capacity == 2


def test_worker_stops_after_its_step_until_the_barrier_is_gone(monkeypatch):
  naps = _Naps()
  monkeypatch.setattr(barrier_ops, "time", naps)
  actions = []
  barrier = barrier_ops.BarrierOp(2, barrier_callbacks=[lambda action, session: actions.append(action)])
  step = tf.compat.v1.train.get_or_create_global_step()
  train_op = step.assign_add(1)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[barrier_ops.BarrierHook(1, barrier)]) as session:
    raw = session.raw_session()
    barrier.place_barrier(raw, "test_action")
    loop = threading.Thread(target=lambda: [session.run(train_op) for _ in range(5)])
    loop.start()
    assert naps.waiting.acquire(timeout=60)
    assert raw.run(step) == 1 and barrier.is_all_blocked(raw)
    assert actions == ["test_action"] * 2  # in the chief and in the worker, which are one here
    barrier.remove_barrier(raw)
    naps.go_on.release()
    loop.join()
    assert raw.run(step) == 5 and barrier.is_none_blocked(raw)


def test_worker_that_slept_through_a_removal_meets_the_next_barrier(monkeypatch):
  barrier = barrier_ops.BarrierOp(2)
  with _session() as session:
    seen = []

    def replace():
      barrier.remove_barrier(session)
      barrier.place_barrier(session, "second")
      seen.append(barrier.is_all_blocked(session))

    def look():
      seen.append(barrier.is_all_blocked(session))
      barrier.remove_barrier(session)

    monkeypatch.setattr(barrier_ops, "time", _Naps(replace, look))
    worker = barrier_ops.BarrierOp(2, name_prefix="x", barrier_callbacks=[lambda action, _: seen.append(action)])
    worker._state, worker._action, worker._placed = barrier._state, barrier._action, barrier._placed
    worker._build_updates()
    barrier.place_barrier(session, "first")
    worker.wait_until_barrier_removed(session, 1)
  # It reports itself blocked at the second barrier only after the callbacks for it.
  assert seen == ["first", False, "second", True]


def test_nobody_waits_for_a_finished_worker():
  barrier = barrier_ops.BarrierOp(3)
  hook = barrier_ops.BarrierHook(1, barrier)
  with _session() as session:
    barrier.place_barrier(session)
    assert barrier.get_unblocked_indices(session) == [1, 2]
    hook.end(session)
    assert barrier.get_unblocked_indices(session) == [2]
    barrier.mark_finished(session, 2)
    assert barrier.is_all_blocked(session)
    hook.after_create_session(session, None)
    assert barrier.get_unblocked_indices(session) == [1]


def test_chief_is_never_blocked():
  barrier = barrier_ops.BarrierOp(1)
  step = tf.compat.v1.train.get_or_create_global_step()
  train_op = step.assign_add(1)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[barrier_ops.BarrierHook(0, barrier)]) as session:
    barrier.place_barrier(session.raw_session())
    assert session.run(train_op) == 1


@pytest.mark.parametrize("index", [0, 2, -1])
def test_index_must_be_a_waiting_worker_s(index):
  barrier = barrier_ops.BarrierOp(2)
  with _session() as session, pytest.raises(ValueError, match=f"worker {index} cannot wait"):
    barrier.wait_until_barrier_removed(session, index)


def test_failing_callback_takes_the_barrier_away():
  def fail(action, session):
    raise RuntimeError("no")

  barrier = barrier_ops.BarrierOp(2, barrier_callbacks=[fail])
  with _session() as session:
    with pytest.raises(RuntimeError, match="no"):
      barrier.place_barrier(session)
    assert barrier.is_barrier_removed(session)


def test_only_the_chief_initializes_the_state():
  barrier_ops.BarrierOp(2, is_chief=True, name_prefix="chief")
  barrier_ops.BarrierOp(2, is_chief=False, name_prefix="worker")
  assert {v.op.name for v in tf.compat.v1.local_variables()} == {"barrier_chief/state", "barrier_chief/action"}
  assert {v.op.name for v in tf.compat.v1.global_variables()} == {"barrier_worker/state", "barrier_worker/action"}


def test_capacity_is_checked():
  with pytest.raises(ValueError, match="capacity is 0"):
    barrier_ops.BarrierOp(0)
