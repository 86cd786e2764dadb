# SPDX-License-Identifier: Apache-2.0
"""Tests of hooks that delay a start or end a loop by the time of day."""

from __future__ import annotations

import pytest

from monolith.native_training import _save_timer, session_run_hooks

import tensorflow as tf  # isort: skip

_TEN = 10 * 3600.0


class _Time:
  """A clock that only naps move; each nap calls the next of `naps`."""

  def __init__(self, now=0.0, naps=()):
    self.now, self.slept, self._naps = now, 0, list(naps)

  def time(self):
    return self.now

  def sleep(self, secs):
    self.slept += 1
    self.now += secs
    if self._naps:
      self._naps.pop(0)()


@pytest.fixture(name="step", autouse=True)
def _step():
  with tf.Graph().as_default():
    yield tf.compat.v1.train.get_or_create_global_step()


def _start(step, monkeypatch, hook, clock, set_steps=()):
  placeholder = tf.compat.v1.placeholder(tf.int64, [])
  assign = step.assign(placeholder)
  train_op = step.assign_add(1)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    raw = session.raw_session()
    clock._naps = [lambda value=value: raw.run(assign, {placeholder: value}) for value in set_steps]
    monkeypatch.setattr(session_run_hooks, "time", clock)
    monkeypatch.setattr(_save_timer, "time", clock)
    session.run(train_op)
    assert clock.slept == len(set_steps) or not set_steps
    return session.should_stop()


def test_step_zero_starts_at_once(step, monkeypatch):
  clock = _Time()
  assert not _start(step, monkeypatch, session_run_hooks.CustomGlobalStepWaiterHook(0), clock)
  assert clock.slept == 0


def test_waits_until_the_step_is_reached(step, monkeypatch):
  clock = _Time()
  assert not _start(step, monkeypatch, session_run_hooks.CustomGlobalStepWaiterHook(1000), clock, [500, 1100])
  assert clock.slept == 2


def test_wait_is_bounded_from_the_moment_the_step_moves(step, monkeypatch):
  clock = _Time()
  monkeypatch.setattr(session_run_hooks.random, "uniform", lambda low, high: 0.0)
  hook = session_run_hooks.CustomGlobalStepWaiterHook(1000, max_non_tide_wait_minute=0.1)
  assert not _start(step, monkeypatch, hook, clock, [1, 5] + [5] * 13)
  # Two naps before the step has exceeded 1, then 6 seconds of half a second, and one to exceed them.
  assert clock.slept == 15


@pytest.mark.parametrize("end_hour, stops", [(5, True), (12, False)])
def test_wait_outside_of_the_window_stops(step, monkeypatch, end_hour, stops):
  clock = _Time(_TEN)
  hook = session_run_hooks.CustomGlobalStepWaiterHook(1000, 1, 0, end_hour, 0)
  assert _start(step, monkeypatch, hook, clock, [] if stops else [1100]) == stops


@pytest.mark.parametrize("end_hour, stops", [(5, True), (12, False)])
def test_loop_ends_with_its_window(step, monkeypatch, end_hour, stops):
  hook = session_run_hooks.TideStoppingHook(1, 0, end_hour, 0)
  assert _start(step, monkeypatch, hook, _Time(_TEN)) == stops


def test_window_is_whole_or_absent():
  with pytest.raises(ValueError, match="or none"):
    session_run_hooks.CustomGlobalStepWaiterHook(1, tide_start_hour=3)


def test_tide_is_in_utc_and_wraps(monkeypatch):
  monkeypatch.setattr(_save_timer, "time", _Time(_TEN))
  assert session_run_hooks.tide_available_now(1, 0, 12, 0)
  assert not session_run_hooks.tide_available_now(1, 0, 5, 0)
  assert session_run_hooks.tide_available_now(23, 0, 10, 1)
  assert not session_run_hooks.tide_available_now(23, 0, 10, 0)
