# SPDX-License-Identifier: Apache-2.0
"""Tests of the progress line and of steps per second."""

from __future__ import annotations

import io

import pytest

import event_files

from monolith.native_training.hooks import progress_hook, step_rate_hook

import tensorflow as tf  # isort: skip


class _Clock:
  """Advances by a quarter of a second whenever it is read."""

  def __init__(self):
    self.now = 0.0

  def __call__(self):
    self.now += 0.25
    return self.now


class _Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    tf.compat.v1.train.get_or_create_global_step()
    yield


def test_format():
  line = progress_hook.format_progress("train", 1200, 45210.4, {"loss": 0.53124, "auc": 0.7312})
  assert line == "train step 1200 | 45210 samples/s | loss 0.5312 | auc 0.7312"
  assert progress_hook.format_progress("eval", 1, None, {}) == "eval step 1"


def _make(stream, **kwargs):
  progress_hook.set_samples_per_step(tf.constant(8))
  progress_hook.add_progress_metric("auc", tf.constant(0.75))
  values = {"loss": tf.constant(0.5)}
  return progress_hook.ProgressHook("train", values, stream=stream, clock=_Clock(), **kwargs)


def _train(hook, steps):
  op = tf.compat.v1.train.get_global_step().assign_add(1)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    for _ in range(steps):
      session.run(op)


def test_plain_lines_every_so_many_steps():
  stream = io.StringIO()
  _train(_make(stream, every_n_steps=2), 5)
  assert stream.getvalue().splitlines() == [
    # Two steps of 8 samples between two readings of the clock.
    "train step 2 | 64 samples/s | loss 0.5 | auc 0.75",
    "train step 4 | 64 samples/s | loss 0.5 | auc 0.75",
    # The last step is shown in any case.
    "train step 5 | 32 samples/s | loss 0.5 | auc 0.75",
  ]


def test_one_live_line_on_a_terminal():
  stream = _Terminal()
  _train(_make(stream, refresh_secs=0.1), 3)
  written = stream.getvalue()
  assert written.count("\n") == 1 and written.endswith("\n")
  assert written.count("\r") == 3
  assert "train step 3" in written.rsplit("\r", 1)[1]


def test_terminal_is_not_flooded():
  stream = _Terminal()
  _train(_make(stream, refresh_secs=1000.0), 3)
  assert stream.getvalue().count("\r") == 1
  assert "train step 3" in stream.getvalue()


def test_registrations_belong_to_the_graph():
  progress_hook.add_progress_metric("auc", tf.constant(1.0))
  with tf.Graph().as_default():
    assert progress_hook.progress_metrics() == {}


def test_period_must_be_positive():
  with pytest.raises(ValueError, match="every_n_steps is 0"):
    progress_hook.ProgressHook("train", {}, every_n_steps=0)


def test_step_rate_summary(tmp_path):
  _train(step_rate_hook.StepRateHook(str(tmp_path), 2, clock=_Clock()), 4)
  tf.compat.v1.summary.FileWriterCache.get(str(tmp_path)).close()
  (path,) = tmp_path.iterdir()
  rates = [
    (event.step, value.simple_value)
    for event in event_files.events(path)
    for value in event.summary.value
    if value.tag == "global_step/sec"
  ]
  assert rates == [(2, 8.0), (4, 8.0)]
