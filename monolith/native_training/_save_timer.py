# SPDX-License-Identifier: Apache-2.0
"""When to save: a timer by seconds or steps, with another period outside a daily window."""

from __future__ import annotations

import datetime
import time
from typing import Any, Optional, Tuple

import tensorflow as tf

__all__ = ["SecondOrStepTimerWithTideSetting", "tide_available_now"]


def tide_available_now(
  start_hour: int, start_minute: int, end_hour: int, end_minute: int, now: Optional[float] = None
) -> bool:
  """Whether the UTC time of day lies in [start, end); a window may wrap around midnight.

  Args:
    start_hour, start_minute: start of the window, UTC.
    end_hour, end_minute: its end, exclusive.
    now: seconds since the epoch; the current time by default.
  """
  moment = datetime.datetime.fromtimestamp(time.time() if now is None else now, datetime.timezone.utc)
  minute = moment.hour * 60 + moment.minute
  start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
  if start <= end:
    return start <= minute < end
  return minute >= start or minute < end


class SecondOrStepTimerWithTideSetting(tf.compat.v1.train.SecondOrStepTimer):
  """TensorFlow's timer, plus a switch and a second period outside a daily UTC window.

  Args:
    every_secs: seconds between two triggers.
    every_steps: steps between two triggers; not together with every_secs.
    tide_start_hour, tide_start_minute, tide_end_hour, tide_end_minute: the window in which the ordinary period counts.
    tide_every_secs: seconds between two triggers outside the window. All five tide settings are given, or none.

  Raises:
    ValueError: only some tide settings are given, or both or neither of the ordinary periods.
  """

  def __init__(
    self,
    every_secs: Optional[float] = None,
    every_steps: Optional[int] = None,
    tide_start_hour: Optional[int] = None,
    tide_start_minute: Optional[int] = None,
    tide_end_hour: Optional[int] = None,
    tide_end_minute: Optional[int] = None,
    tide_every_secs: Optional[float] = None,
  ):
    super().__init__(every_secs=every_secs, every_steps=every_steps)
    window = (tide_start_hour, tide_start_minute, tide_end_hour, tide_end_minute)
    given = [value is not None for value in (*window, tide_every_secs)]
    if any(given) and not all(given):
      raise ValueError(f"tide window {window} with tide_every_secs={tide_every_secs}: give all five, or none.")
    self._window: Optional[Tuple[Any, ...]] = window if all(given) else None
    self._tide_every_secs = tide_every_secs or 0.0
    self._enabled = True
    self._last_time: Optional[float] = None

  def enable(self) -> None:
    """Lets the timer trigger (the initial state)."""
    self._enabled = True

  def disable(self) -> None:
    """Keeps the timer from triggering until `enable`."""
    self._enabled = False

  def should_trigger_for_step(self, step: int) -> bool:
    if not self._enabled:
      return False
    if self._window is None or tide_available_now(*self._window):
      return super().should_trigger_for_step(step)
    last_step = self.last_triggered_step()
    if last_step is None:
      return True
    if step == last_step or self._last_time is None:
      return False
    return time.time() >= self._last_time + self._tide_every_secs

  def update_last_triggered_step(self, step: int):
    self._last_time = time.time()
    return super().update_last_triggered_step(step)
