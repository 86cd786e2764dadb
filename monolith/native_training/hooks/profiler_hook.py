# SPDX-License-Identifier: Apache-2.0
"""Profiles some steps of a loop with TensorFlow's profiler, for TensorBoard."""

from __future__ import annotations

import threading
from typing import Optional

import tensorflow as tf
from absl import logging

__all__ = ["ProfileStepsHook"]


class ProfileStepsHook(tf.compat.v1.train.SessionRunHook):
  """Profiles a few steps now and then into `<logdir>/plugins/profile`.

  TensorFlow has one profiler in a process: while somebody else uses it, nothing is profiled here.

  Args:
    logdir: directory of the profiles.
    first_step: steps of this loop, counted from 0, before the first profile.
    num_steps: steps of a profile.
    every_n_steps: steps from the begin of a profile to the begin of the next; None makes one profile only.

  Raises:
    ValueError: profiles would be empty or overlap.
  """

  def __init__(self, logdir: str, first_step: int = 0, num_steps: int = 10, every_n_steps: Optional[int] = None):
    if first_step < 0 or num_steps < 1:
      raise ValueError(f"profile of {num_steps} steps from step {first_step}: give at least 1 step, from 0 on.")
    if every_n_steps is not None and every_n_steps <= num_steps:
      raise ValueError(f"a profile of {num_steps} steps every {every_n_steps} steps: give more than {num_steps}.")
    self._logdir = logdir
    self._next = first_step
    self._num_steps = num_steps
    self._every_n_steps = every_n_steps
    self._step = 0
    self._stop_at: Optional[int] = None
    self._lock = threading.Lock()

  def after_create_session(self, session, coord) -> None:
    del session
    if coord is not None:
      # An error ends the loop without calling `end`, and the profiler would stay taken.
      threading.Thread(target=self._stop_with, args=(coord,), daemon=True).start()

  def before_run(self, run_context):
    del run_context
    if self._step == self._next:
      self._start()

  def after_run(self, run_context, run_values) -> None:
    del run_context, run_values
    self._step += 1
    if self._stop_at is not None and self._step >= self._stop_at:
      self._stop()

  def end(self, session) -> None:
    del session
    self._stop()

  def _start(self) -> None:
    if self._every_n_steps is not None:
      self._next += self._every_n_steps
    try:
      tf.profiler.experimental.start(self._logdir)
    except tf.errors.AlreadyExistsError:
      logging.warning("Step %d is not profiled: this process profiles something else.", self._step)
      return
    self._stop_at = self._step + self._num_steps

  def _stop(self) -> None:
    with self._lock:
      if self._stop_at is None:
        return
      self._stop_at = None
      try:
        tf.profiler.experimental.stop()
      except tf.errors.UnavailableError:
        pass  # Somebody has stopped it already.

  def _stop_with(self, coord: tf.train.Coordinator) -> None:
    coord.wait_for_stop()
    self._stop()
