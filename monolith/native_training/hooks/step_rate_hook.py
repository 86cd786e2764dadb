# SPDX-License-Identifier: Apache-2.0
"""Steps per second as a summary."""

from __future__ import annotations

import time
from typing import Callable

import tensorflow as tf

from monolith.native_training import _event_files

__all__ = ["StepRateHook"]


class StepRateHook(tf.compat.v1.train.SessionRunHook):
  """Writes the summary `global_step/sec`, over the steps of all workers.

  TensorFlow's StepCounterHook fetches the step within the training run, where it may be read before or after its
  increment, and warns when it meets the same value twice. This hook reads it between two runs.

  Args:
    output_dir: directory of the summaries.
    every_n_steps: steps of this worker between two summaries.
    clock: seconds since some fixed moment.
  """

  def __init__(self, output_dir: str, every_n_steps: int, clock: Callable[[], float] = time.monotonic):
    self._output_dir = output_dir
    self._every_n_steps = every_n_steps
    self._clock = clock
    self._runs = 0
    self._last_step = 0
    self._last_time = 0.0

  def begin(self) -> None:
    self._writer = _event_files.shared_writer(self._output_dir)
    self._step_tensor = tf.compat.v1.train.get_global_step()

  def after_create_session(self, session, coord) -> None:
    del coord
    self._last_step, self._last_time = int(session.run(self._step_tensor)), self._clock()
    self._runs = 0

  def after_run(self, run_context, run_values) -> None:
    del run_values
    self._runs += 1
    if self._runs % self._every_n_steps:
      return
    step, now = int(run_context.session.run(self._step_tensor)), self._clock()
    if now > self._last_time:
      rate = (step - self._last_step) / (now - self._last_time)
      summary = tf.compat.v1.Summary()
      summary.value.add(tag="global_step/sec", simple_value=rate)
      self._writer.add_summary(summary, step)
    self._last_step, self._last_time = step, now
