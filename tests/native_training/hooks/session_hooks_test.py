# SPDX-License-Identifier: Apache-2.0
"""Tests of the small hooks and listeners."""

from __future__ import annotations

import pytest

from monolith.native_training import basic_restore_hook
from monolith.native_training.hooks import hook_utils, session_hooks

import tensorflow as tf  # isort: skip


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    yield


def test_current_session_lasts_as_long_as_the_loop():
  assert session_hooks.get_current_session() is None
  hook = session_hooks.SetCurrentSessionHook()
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    assert session_hooks.get_current_session() is session.raw_session()
  assert session_hooks.get_current_session() is None


class _Restorer(basic_restore_hook.CheckpointRestorerListener):
  def __init__(self, log):
    self._log = log

  def begin(self):
    self._log.append("begin")

  def before_restore(self, session):
    self._log.append("before")

  def after_restore(self, session):
    self._log.append("after")

  def end(self, session):
    self._log.append("end")


def test_restore_listeners_run_once_whatever_the_steps():
  log = []
  hook = basic_restore_hook.CheckpointRestorerHook([_Restorer(log), _Restorer(log)])
  op = tf.no_op()
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    for _ in range(3):
      session.run(op)
    assert log == ["begin", "begin", "before", "before", "after", "after"]
  assert log[-2:] == ["end", "end"]


class _Saver(tf.compat.v1.train.CheckpointSaverListener):
  def __init__(self):
    self.log = []

  def begin(self):
    self.log.append("begin")

  def before_save(self, session, global_step_value):
    self.log.append("before")

  def after_save(self, session, global_step_value):
    self.log.append("after")
    return True

  def end(self, session, global_step_value):
    self.log.append("end")


@pytest.mark.parametrize(
  "wrapper, forwarded, stops",
  [
    (hook_utils.BeforeSaveListener, ["begin", "before", "end"], None),
    (hook_utils.AfterSaveListener, ["begin", "after", "end"], True),
  ],
)
def test_one_sided_listeners(wrapper, forwarded, stops):
  inner = _Saver()
  listener = wrapper(inner)
  listener.begin()
  listener.before_save(None, 1)
  assert listener.after_save(None, 1) == stops
  listener.end(None, 1)
  assert inner.log == forwarded
