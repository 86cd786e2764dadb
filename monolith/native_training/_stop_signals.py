# SPDX-License-Identifier: Apache-2.0
"""Turning SIGTERM, SIGINT and SIGHUP into an orderly end of the loop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Dict, List, Optional

import tensorflow as tf
from absl import logging

__all__ = ["StopOnSignalHook", "StopSignals", "received_signal"]

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


_active: List[StopSignals] = []


def received_signal() -> Optional[int]:
  """The signal that asks the loop of this process to end, or None: for hooks that block between steps."""
  return _active[-1].received if _active else None


class StopSignals:
  """Context manager that records the first stop signal instead of dying from it.

  A second signal goes to the handler that was there before, so that an impatient Ctrl-C still ends the process. The
  previous handlers come back when the block is left. Outside of the main thread Python allows no handlers; then the
  block changes nothing.
  """

  def __init__(self) -> None:
    self.received: Optional[int] = None
    self._previous: Dict[int, Any] = {}

  def __enter__(self) -> StopSignals:
    if threading.current_thread() is threading.main_thread():
      for signum in _SIGNALS:
        # An ignored signal stays ignored: nohup means it.
        if signal.getsignal(signum) is not signal.SIG_IGN:
          self._previous[signum] = signal.signal(signum, self._handle)
      _active.append(self)
    return self

  def __exit__(self, *exc_info: object) -> None:
    if self in _active:
      _active.remove(self)
    self._restore()

  def _restore(self) -> None:
    for signum, handler in self._previous.items():
      # None: the handler was not installed from Python and cannot be put back by it.
      signal.signal(signum, signal.SIG_DFL if handler is None else handler)
    self._previous = {}

  def _handle(self, signum: int, frame: Optional[FrameType]) -> None:
    del frame
    if self.received is None:
      self.received = signum
      return
    self._restore()
    signal.raise_signal(signum)


class StopOnSignalHook(tf.compat.v1.train.SessionRunHook):
  """Requests the loop's stop after the step during which a signal came; end hooks then save."""

  def __init__(self, stop_signals: StopSignals):
    self._stop_signals = stop_signals

  def after_run(self, run_context, run_values) -> None:
    del run_values
    if self._stop_signals.received is not None and not run_context.stop_requested:
      name = signal.Signals(self._stop_signals.received).name
      logging.warning("Received %s: stopping after this step and saving a checkpoint.", name)
      run_context.request_stop()
