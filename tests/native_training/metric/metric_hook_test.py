# SPDX-License-Identifier: Apache-2.0
"""Hooks that measure loops: what they emit and what they refuse."""

from __future__ import annotations

import sys
import types

import pytest

from monolith.native_training.metric import cli, metric_hook

import tensorflow as tf  # isort: skip
from tensorflow.python.training import training_util


class _Client:
  """Keeps what is emitted."""

  def __init__(self):
    self.calls = []

  def __getattr__(self, name):
    return lambda *args: self.calls.append((name, *args))


class _Clock:
  def __init__(self, now=1000.0):
    self.now = now

  def __call__(self):
    return self.now


@pytest.fixture
def client(monkeypatch):
  client = _Client()
  monkeypatch.setattr(cli, "get_cli", lambda prefix: client)
  return client


@pytest.fixture(autouse=True)
def graph():
  with tf.Graph().as_default():
    yield


def _counting():
  step = tf.compat.v1.train.get_or_create_global_step()
  return step.assign_add(1)


class TestThroughput:
  def _run(self, clock, times, **kwargs):
    """Takes a step that ends at each of `times`; the loop begins at 1000.9."""
    hook = metric_hook.ThroughputMetricHook("m", clock=clock, **kwargs)
    train = _counting()
    clock.now = 1000.9
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      for clock.now in times:  # noqa: B020
        session.run(train)

  def test_what_is_emitted(self, client):
    # The step that a run returns may be the one before or after its own increment.
    clock = _Clock()
    train = _counting()
    hook = metric_hook.ThroughputMetricHook("m", 990, "canary", run_every_n_secs=10, clock=clock)
    step = tf.compat.v1.train.get_global_step()
    tags = {"model_name": "m", "cluster_type": "canary"}
    with tf.compat.v1.Session() as session:
      session.run(tf.compat.v1.global_variables_initializer())
      hook.begin()
      context = types.SimpleNamespace(session=session)
      for clock.now, after in ((1000.9, 1001.0), (1005.0, 1009.0), (1010.0, 1010.5), (1011.0, 1024.9)):
        fetches = hook.before_run(context).fetches
        session.run(train)
        clock.now = after
        hook.after_run(context, types.SimpleNamespace(results=session.run(fetches)))
      assert session.run(step) == 4
    assert client.calls == [
      ("emit_timer", "run_start_elapsed_time.all", 10, tags),
      ("emit_counter", "run_steps.all", 3, tags),
      ("emit_timer", "run_steps_elapsed_time.all", 10 / 3, tags),
      ("emit_counter", "run_steps.all", 1, tags),
      ("emit_timer", "run_steps_elapsed_time.all", 14.0, tags),
    ]

  def _values(self, hook, client, steps, clock):
    context = types.SimpleNamespace(session=types.SimpleNamespace(run=lambda _: steps[0]))
    hook.before_run(context)
    for step in steps:
      clock.now += 30
      hook.after_run(context, types.SimpleNamespace(results={"global_step": step}))
    return [(name, value) for _, name, value, _ in client.calls]

  def test_no_step_is_no_division_and_counts_as_time(self, client):
    clock = _Clock()
    hook = metric_hook.ThroughputMetricHook("m", None, clock=clock)
    values = self._values(hook, client, [5, 5, 7], clock)
    assert values == [("run_steps.all", 2), ("run_steps_elapsed_time.all", 45.0)]

  def test_a_step_that_was_restored_begins_afresh(self, client):
    clock = _Clock()
    hook = metric_hook.ThroughputMetricHook("m", None, clock=clock)
    values = self._values(hook, client, [5, 1, 4], clock)
    assert values == [("run_steps.all", 3), ("run_steps_elapsed_time.all", 10.0)]

  def test_in_a_loop(self, client):
    self._run(_Clock(), [1001.0, 1031.0], start_time_secs=1000)
    assert [call[1] for call in client.calls][:1] == ["run_start_elapsed_time.all"]

  def test_a_graph_without_a_step_is_refused(self, client):
    with pytest.raises(RuntimeError, match="no global step; make one"):
      metric_hook.ThroughputMetricHook("m", None).begin()


def test_the_loss_of_every_step(client):
  loss = tf.cast(_counting(), tf.float32) / 2
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[metric_hook.StepLossMetricHook(loss)]) as session:
    for _ in range(3):
      session.run([])
  assert client.calls == [("emit_store", "step_loss", value) for value in (0.5, 1.0, 1.5)]


def test_custom_metrics(client):
  hook = metric_hook.CustomMetricHook({"a": tf.constant(2.5), "b": tf.constant(7)})
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
    session.run([])
  assert sorted(client.calls) == [("emit_store", "a", 2.5), ("emit_store", "b", 7.0)]
  assert all(type(value) is float for _, _, value in client.calls)


@pytest.mark.parametrize(
  "value, message",
  [
    ([1.0], r"metric 'x' is float32 of shape \(1,\); pass a scalar"),
    ("a", "metric 'x' is string of shape"),
    (tf.float64.as_numpy_dtype(1), "metric 'x' is float64"),
    (None, "metric_tensors is empty"),
  ],
)
def test_other_metrics_are_refused(client, value, message):
  with pytest.raises(ValueError, match=message):
    metric_hook.CustomMetricHook({} if value is None else {"x": tf.constant(value)})


class TestByteCCLTelemetry:
  @pytest.fixture
  def bps(self, monkeypatch):
    telemetry = [("op.PushPull.a", 1.0, 0.1, 2)] * 4 + [("x.alltoall", 2.0, 0.2, 3), ("other", 1.0, 1.0, 1)]
    bps = types.SimpleNamespace(rank=lambda: 0, get_telemetry=lambda: telemetry)
    monkeypatch.setitem(sys.modules, "byteps", types.SimpleNamespace(tensorflow=bps))
    monkeypatch.setitem(sys.modules, "byteps.tensorflow", bps)
    return bps

  def _run(self, monkeypatch, steps):
    lines = []
    monkeypatch.setattr("absl.logging.info", lambda text, *args: lines.append(args[:2]))
    hook = metric_hook.ByteCCLTelemetryHook(interval=2)
    train = tf.convert_to_tensor(_counting())
    # What the hook reads is the step after its increment; by default it may be the one before, too.
    tf.compat.v1.add_to_collection(training_util.GLOBAL_STEP_READ_KEY, train)
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      for _ in range(steps):
        session.run(train)
    return lines

  def test_which_transfers_are_logged(self, monkeypatch, bps):
    lines = self._run(monkeypatch, 1)
    assert [name for _, name in lines] == ["op.PushPull.a"] * 3 + ["x.alltoall"]

  def test_every_other_step(self, monkeypatch, bps):
    steps = sorted({step for step, _ in self._run(monkeypatch, 6)})
    assert steps == [1, 3, 5]

  def test_on_rank_0_only(self, monkeypatch, bps):
    bps.rank = lambda: 1
    assert self._run(monkeypatch, 3) == []

  def test_a_graph_without_a_step_is_refused(self, bps):
    with pytest.raises(RuntimeError, match="no global step"):
      metric_hook.ByteCCLTelemetryHook(1).begin()

  def test_without_the_package_it_is_refused(self, monkeypatch):
    monkeypatch.setitem(sys.modules, "byteps", None)
    with pytest.raises(ImportError, match="package byteps is not installed.*leave the hook out"):
      metric_hook.ByteCCLTelemetryHook(10)
    with pytest.raises(ValueError, match="interval is 0"):
      metric_hook.ByteCCLTelemetryHook(0)
