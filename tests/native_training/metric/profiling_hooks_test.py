# SPDX-License-Identifier: Apache-2.0
"""Which steps the profiling hooks profile."""

from __future__ import annotations

import ctypes
import types

import pytest

from monolith.native_training import distribution_utils
from monolith.native_training.metric import metric_hook

import tensorflow as tf  # isort: skip


class _Profiler:
  """Stands for TensorFlow's profiler; logs what happens during which step."""

  def __init__(self, monkeypatch):
    self.log, self.step, self.taken, self.options = [], 0, False, None
    monkeypatch.setattr(tf.profiler.experimental, "start", self.start)
    monkeypatch.setattr(tf.profiler.experimental, "stop", self.stop)

  def start(self, logdir, options=None):
    if self.taken:
      raise tf.errors.AlreadyExistsError(None, None, "taken")
    self.options = options
    self.log.append(("start", self.step))

  def stop(self):
    self.log.append(("stop", self.step))


@pytest.fixture
def profiler(monkeypatch):
  return _Profiler(monkeypatch)


def _run(hook, profiler, steps):
  for profiler.step in range(steps):
    hook.before_run(None)
    hook.after_run(None, None)
  hook.end(None)


FIRST = [("start", 0), ("stop", 9)]


@pytest.mark.parametrize(
  "steps, kwargs, expected",
  [
    (1, {"save_steps": 50}, [("start", 0), ("stop", 0)]),
    (30, {"save_steps": 30}, FIRST),
    (31, {"save_steps": 30}, [*FIRST, ("start", 30), ("stop", 30)]),
    (71, {"save_steps": 30}, [*FIRST, ("start", 30), ("stop", 39), ("start", 60), ("stop", 69)]),
  ],
)
def test_steps(profiler, steps, kwargs, expected):
  _run(metric_hook.Tf2ProfilerHook("logs", [0, 10], **kwargs), profiler, steps)
  assert profiler.log == expected


def test_later_begin_and_other_length(profiler):
  _run(metric_hook.Tf2ProfilerHook("logs", [5, 8], save_steps=10), profiler, 20)
  assert profiler.log == [("start", 5), ("stop", 7), ("start", 15), ("stop", 17)]


@pytest.mark.parametrize("steps_range", [None, [None, None], [None, 20]])
def test_without_a_range_the_first_profile_waits(profiler, steps_range):
  _run(metric_hook.Tf2ProfilerHook("logs", steps_range, save_steps=100), profiler, 602)
  assert profiler.log == [("start", 500), ("stop", 509), ("start", 600), ("stop", 601)]


def test_seconds(profiler, monkeypatch):
  now = [0.0]
  monkeypatch.setattr("time.time", lambda: now[0])
  hook = metric_hook.Tf2ProfilerHook("logs", [0, 10], save_secs=3)
  for profiler.step in range(50):
    hook.before_run(None)
    hook.after_run(None, None)
    now[0] += 0.125
  hook.end(None)
  assert profiler.log == [*FIRST, ("start", 24), ("stop", 33), ("start", 48), ("stop", 49)]


def test_options_and_a_timer_of_ones_own(profiler):
  class Timer:
    def should_trigger_for_step(self, step):
      return step == 4

    def update_last_triggered_step(self, step):
      assert step == 4

  options = object()
  _run(metric_hook.Tf2ProfilerHook("logs", [0, 2], options=options, timer=Timer()), profiler, 10)
  assert profiler.log == [("start", 4), ("stop", 5)] and profiler.options is options


def test_a_profiler_that_is_taken_is_left_alone(profiler):
  profiler.taken = True
  _run(metric_hook.Tf2ProfilerHook("logs", [0, 10], save_steps=30), profiler, 40)
  assert profiler.log == []


def test_a_profile_that_somebody_stopped_is_no_error(profiler, monkeypatch):
  def stop():
    raise tf.errors.UnavailableError(None, None, "none")

  monkeypatch.setattr(tf.profiler.experimental, "stop", stop)
  _run(metric_hook.Tf2ProfilerHook("logs", [0, 10], save_steps=30), profiler, 12)
  assert profiler.log == [("start", 0)]


def test_a_failing_loop_gives_the_profiler_back(profiler):
  hook = metric_hook.Tf2ProfilerHook("logs", [0, 10], save_steps=30)
  coord = tf.train.Coordinator()
  hook.before_run(None)
  coord.request_stop()
  hook._stop_with(coord)
  assert profiler.log == [("start", 0), ("stop", 0)]


def test_a_profile_is_written(tmp_path):
  with tf.Graph().as_default():
    train = tf.compat.v1.train.get_or_create_global_step().assign_add(1)
    hook = metric_hook.Tf2ProfilerHook(str(tmp_path), [0, 10], save_steps=50)
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      session.run(train)
  assert len(list((tmp_path / "plugins" / "profile").iterdir())) == 1


@pytest.mark.parametrize("error", [None, tf.errors.UnknownError(None, None, "port in use")])
def test_synchronous_training_has_a_server(monkeypatch, error):
  ports = []

  def start(port):
    ports.append(port)
    if error:
      raise error

  monkeypatch.setattr(tf.profiler.experimental.server, "start", start)
  hook = metric_hook.Tf2ProfilerHook("logs", [0, 10], save_steps=30)
  hook.begin()
  assert ports == []
  monkeypatch.setattr(distribution_utils, "enable_sync_training", lambda: True)
  hook.begin()
  assert ports == [6666]


@pytest.mark.parametrize(
  "kwargs, message",
  [
    ({"init_step_range": [10, 10], "save_steps": 30}, r"init_step_range is \[10, 10\]"),
    ({"init_step_range": [0, 10], "save_steps": 10}, "save_steps is 10, a profile has 10 steps; give more"),
    ({"init_step_range": None, "save_steps": 9}, "save_steps is 9, a profile has 10 steps"),
    ({"init_step_range": None}, "save_steps is None, save_secs is None; give one"),
    ({"init_step_range": None, "save_steps": 30, "save_secs": 1}, "save_steps is 30, save_secs is 1; give one"),
  ],
)
def test_impossible_profiles(kwargs, message):
  with pytest.raises(ValueError, match=message):
    metric_hook.Tf2ProfilerHook("logs", **kwargs)


class TestNVProfiler:
  def test_without_cuda_it_is_refused(self, monkeypatch):
    def missing(name):
      raise OSError(f"{name}: no such file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(RuntimeError, match="libcudart.so cannot be loaded.*needs the CUDA runtime.*Tf2ProfilerHook"):
      metric_hook.NVProfilerHook([0, 10], save_steps=30)

  def test_calls_the_runtime(self, monkeypatch, profiler):
    log, status = [], 0

    def call(name):
      log.append((name, profiler.step))
      return status

    library = types.SimpleNamespace(cudaProfilerStart=lambda: call("start"), cudaProfilerStop=lambda: call("stop"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    _run(metric_hook.NVProfilerHook([1, 3], save_steps=30), profiler, 5)
    assert log == [("start", 1), ("stop", 2)] and profiler.log == []
    status = 100
    with pytest.raises(RuntimeError, match="cudaProfilerStart returned CUDA error 100"):
      _run(metric_hook.NVProfilerHook([1, 3], save_steps=30), profiler, 5)
