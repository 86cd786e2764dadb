# SPDX-License-Identifier: Apache-2.0
"""Lets other threads act on the session of a loop between two of its steps, and hold the loop there."""

from __future__ import annotations

import threading
from typing import Callable, Optional, TypeVar

import tensorflow as tf

from monolith.native_training import _stop_signals

__all__ = ["LoopEndedError", "StepGate"]

T = TypeVar("T")

# How often waiting threads look at what nobody notifies them of: signals, and callers that have given up.
_LOOK_SECS = 0.1


class LoopEndedError(RuntimeError):
  """The loop is over, or was about to end, so nothing can be done between its steps."""


class StepGate:
  """A gate that the loop passes before each step.

  Two hooks drive it: `first` must be the loop's first hook, `last` its last one. The gate opens for other threads when
  all hooks have seen the new session, closes before a step, and opens again after it.
  """

  def __init__(self) -> None:
    self._condition = threading.Condition()
    self._in_step = True
    self._ended = False
    self._session_number = 0
    self._waiting = 0
    self._held = False
    self.first: tf.compat.v1.train.SessionRunHook = _FirstHook(self)
    self.last: tf.compat.v1.train.SessionRunHook = _LastHook(self)

  def between_steps(self, action: Callable[[], T], is_wanted: Callable[[], bool] = lambda: True) -> T:
    """Runs `action` in the calling thread while no step runs, and returns its result.

    Args:
      action: what to do.
      is_wanted: asked now and then while waiting for the step to end; False gives up.

    Raises:
      LoopEndedError: the loop is over, or is_wanted gave up.
    """
    with self._condition:
      self._waiting += 1
      try:
        while self._in_step and not self._ended:
          if not is_wanted():
            raise LoopEndedError("the caller has given up before the step in progress ended.")
          self._condition.wait(_LOOK_SECS)
        if self._ended:
          raise LoopEndedError("the training loop has ended.")
        return action()
      finally:
        self._waiting -= 1
        self._condition.notify_all()

  def hold(self, held: bool) -> None:
    """Keeps the loop from its next step (True), or lets it go on. A stop signal lets it go, too."""
    with self._condition:
      self._held = held
      self._condition.notify_all()

  @property
  def held(self) -> bool:
    """Whether the loop is kept from its next step."""
    return self._held

  def start_session(self) -> int:
    """A new session starts; nobody acts on it before `end_step`. Returns its number."""
    with self._condition:
      self._ended, self._in_step = False, True
      self._session_number += 1
      return self._session_number

  def end(self, session_number: Optional[int] = None) -> None:
    """The loop is over, if the session is still that one; whoever waits gives up."""
    with self._condition:
      if session_number in (None, self._session_number):
        self._ended, self._in_step = True, False
        self._condition.notify_all()

  def begin_step(self) -> None:
    """Waits for those who act between steps, and while the loop is held."""
    with self._condition:
      while (self._waiting or self._held) and not self._ended and _stop_signals.received_signal() is None:
        self._condition.wait(_LOOK_SECS)
      self._in_step = True

  def end_step(self) -> None:
    """Opens the gate."""
    with self._condition:
      self._in_step = False
      self._condition.notify_all()


class _FirstHook(tf.compat.v1.train.SessionRunHook):
  def __init__(self, gate: StepGate):
    self._gate = gate

  def after_create_session(self, session, coord) -> None:
    del session
    number = self._gate.start_session()
    if coord is not None:
      # An error ends the loop without calling `end`.
      threading.Thread(target=self._end_with, args=(coord, number), daemon=True).start()

  def _end_with(self, coord: tf.train.Coordinator, number: int) -> None:
    coord.wait_for_stop()
    self._gate.end(number)

  def before_run(self, run_context):
    del run_context
    self._gate.begin_step()

  def end(self, session) -> None:
    del session
    self._gate.end()


class _LastHook(tf.compat.v1.train.SessionRunHook):
  def __init__(self, gate: StepGate):
    self._gate = gate

  def after_create_session(self, session, coord) -> None:
    del session, coord
    self._gate.end_step()

  def after_run(self, run_context, run_values) -> None:
    del run_context, run_values
    self._gate.end_step()
