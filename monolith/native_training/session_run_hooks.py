# SPDX-License-Identifier: Apache-2.0
"""Hooks that delay a worker's start, or end it outside of a daily window (a "tide")."""

from __future__ import annotations

import random
import time
from typing import Optional

import tensorflow as tf
from absl import logging

from monolith.native_training._save_timer import tide_available_now

__all__ = ["CustomGlobalStepWaiterHook", "TideStoppingHook", "tide_available_now"]

_POLL_SECS = 0.5
_MAX_EXTRA_WAIT_SECS = 600


class _Tide:
  """A daily UTC window; without one, every moment is inside.

  Raises:
    ValueError: only some of its four numbers are given.
  """

  def __init__(
    self, start_hour: Optional[int], start_minute: Optional[int], end_hour: Optional[int], end_minute: Optional[int]
  ):
    self._window = (start_hour, start_minute, end_hour, end_minute)
    given = [value is not None for value in self._window]
    if any(given) and not all(given):
      raise ValueError(f"tide window {self._window}: give start hour and minute and end hour and minute, or none.")

  def is_over(self) -> bool:
    if None in self._window:
      return False
    return not tide_available_now(*self._window)  # type: ignore[arg-type]


class CustomGlobalStepWaiterHook(tf.compat.v1.train.SessionRunHook):
  """Holds a worker back until the others have trained a while, so that not all of them start on fresh variables.

  Args:
    wait_until_step: the global step to wait for.
    tide_start_hour, tide_start_minute, tide_end_hour, tide_end_minute: a daily UTC window; a wait that meets its end
      stops the loop.
    max_non_tide_wait_minute: minutes, counted from when the step first exceeded 1, after which the worker starts in any
      case, plus up to ten random minutes.
  """

  def __init__(
    self,
    wait_until_step: int,
    tide_start_hour: Optional[int] = None,
    tide_start_minute: Optional[int] = None,
    tide_end_hour: Optional[int] = None,
    tide_end_minute: Optional[int] = None,
    max_non_tide_wait_minute: float = 10,
  ):
    self._wait_until_step = wait_until_step
    self._tide = _Tide(tide_start_hour, tide_start_minute, tide_end_hour, tide_end_minute)
    self._max_wait_secs = max_non_tide_wait_minute * 60 + random.uniform(0, _MAX_EXTRA_WAIT_SECS)
    self._waited = False
    self._step_tensor: Optional[tf.Tensor] = None

  def begin(self) -> None:
    self._step_tensor = tf.compat.v1.train.get_or_create_global_step()

  def before_run(self, run_context):
    if self._waited:
      return
    self._waited = True
    started: Optional[float] = None
    while self._wait_until_step > 0:
      step = int(run_context.session.run(self._step_tensor))
      if step >= self._wait_until_step:
        return
      if self._tide.is_over():
        run_context.request_stop()
        return
      if started is None and step > 1:
        started = time.time()
      if started is not None and time.time() - started > self._max_wait_secs:
        logging.warning("Starting at global step %d instead of %d: waited long enough.", step, self._wait_until_step)
        return
      time.sleep(_POLL_SECS)


class TideStoppingHook(tf.compat.v1.train.SessionRunHook):
  """Ends the loop after the first step outside of a daily UTC window.

  Args:
    tide_start_hour, tide_start_minute, tide_end_hour, tide_end_minute: the window.
  """

  def __init__(self, tide_start_hour: int, tide_start_minute: int, tide_end_hour: int, tide_end_minute: int):
    self._tide = _Tide(tide_start_hour, tide_start_minute, tide_end_hour, tide_end_minute)

  def after_run(self, run_context, run_values) -> None:
    del run_values
    if self._tide.is_over():
      logging.info("The daily training window is over; stopping.")
      run_context.request_stop()
