# SPDX-License-Identifier: Apache-2.0
"""Tests of profiling steps."""

from __future__ import annotations

import pytest

from monolith.native_training import cpu_training
from monolith.native_training.hooks import profiler_hook

from native_training.cpu_training_test import _Task  # isort: skip

import tensorflow as tf  # isort: skip


class _Profiler:
  """Stands for TensorFlow's profiler; logs what happens at which step."""

  def __init__(self, monkeypatch):
    self.log, self.step, self.taken = [], 0, False
    monkeypatch.setattr(tf.profiler.experimental, "start", self.start)
    monkeypatch.setattr(tf.profiler.experimental, "stop", self.stop)

  def start(self, logdir):
    if self.taken:
      raise tf.errors.AlreadyExistsError(None, None, "taken")
    self.log.append(("start", self.step))

  def stop(self):
    self.log.append(("stop", self.step))


def _run(hook, profiler, steps):
  for profiler.step in range(steps):
    hook.before_run(None)
    hook.after_run(None, None)
  hook.end(None)


@pytest.mark.parametrize(
  "kwargs, expected",
  [
    ({"first_step": 3, "num_steps": 2}, [("start", 3), ("stop", 4)]),
    ({"num_steps": 2, "every_n_steps": 5}, [("start", 0), ("stop", 1), ("start", 5), ("stop", 6)]),
    ({"first_step": 8, "num_steps": 5}, [("start", 8), ("stop", 9)]),
    ({"first_step": 10}, []),
  ],
)
def test_which_steps(monkeypatch, kwargs, expected):
  profiler = _Profiler(monkeypatch)
  _run(profiler_hook.ProfileStepsHook("unused", **kwargs), profiler, 10)
  assert profiler.log == expected


def test_profiler_that_is_taken_is_left_alone(monkeypatch):
  profiler = _Profiler(monkeypatch)
  profiler.taken = True
  _run(profiler_hook.ProfileStepsHook("unused"), profiler, 10)
  assert profiler.log == []


def test_failing_loop_gives_the_profiler_back(monkeypatch):
  profiler = _Profiler(monkeypatch)
  hook = profiler_hook.ProfileStepsHook("unused")
  coord = tf.train.Coordinator()
  hook.before_run(None)
  coord.request_stop()
  hook._stop_with(coord)
  assert profiler.log == [("start", 0), ("stop", 0)]


def test_impossible_profiles():
  with pytest.raises(ValueError, match="give more than 10"):
    profiler_hook.ProfileStepsHook("unused", every_n_steps=10)
  with pytest.raises(ValueError, match="give at least 1 step"):
    profiler_hook.ProfileStepsHook("unused", num_steps=0)


def test_training_writes_a_profile(tmp_path):
  class Endless(_Task):
    num_elements = None

  cpu_training.local_train(Endless.params(), model_dir=tmp_path, steps=12, profiling=True)
  assert len(list((tmp_path / "plugins" / "profile").iterdir())) == 1
