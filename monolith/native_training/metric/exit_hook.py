# SPDX-License-Identifier: Apache-2.0
"""Counts the ends of processes that a signal ended, as the metric `exit_hook`.

Importing this module installs handlers of SIGHUP, SIGINT and SIGTERM that remember the signal and leave by `sys.exit`,
so that clean-up runs. They are installed only on the main thread, as Python allows it nowhere else, and only in place
of the default ones: handlers of a program stay, and a signal that is ignored stays ignored. A Ctrl-C still ends in the
KeyboardInterrupt of Python's own handler, which notebooks and test runners live on; it counts only if nobody caught it.
Who catches the SystemExit of another signal and goes on sets `sig_no` to None. While a loop trains, its handlers take
the signals (`_stop_signals`) and give them back afterwards.
"""

from __future__ import annotations

import atexit
import signal
import sys
import threading
from types import FrameType
from typing import Any

from monolith.native_training import native_task_context, utils
from monolith.native_training.metric import cli

__all__ = ["exit_hook", "sig_handler", "sig_no"]

sig_no: int | None = None

_has_interrupted = False  # the last signal was a KeyboardInterrupt
_previous: dict[int, Any] = {}  # handlers before ours


def sig_handler(signo: int, frame: FrameType | None) -> None:
  """Remembers the signal and ends the process.

  Args:
    signo: the signal.
    frame: what it interrupted; None when no signal came and somebody calls this.

  Raises:
    KeyboardInterrupt: a SIGINT came, and Python's own handler was there before.
    SystemExit: else, with signo as the exit status.
  """
  global sig_no, _has_interrupted
  sig_no = signo
  _has_interrupted = frame is not None and _previous.get(signo) is signal.default_int_handler
  if _has_interrupted:
    signal.default_int_handler(signo, frame)
  sys.exit(signo)


@atexit.register
def exit_hook() -> None:
  """Emits the counter `exit_hook` if a signal ended the process."""
  if sig_no is None or (_has_interrupted and not _ended_by_interrupt()):
    return
  ctx = native_task_context.get()
  index = ctx.worker_index if ctx.server_type == "worker" else ctx.ps_index
  client = cli.get_cli(utils.get_metric_prefix())
  client.emit_counter("exit_hook", 1, {"server_type": ctx.server_type, "index": str(index), "sig": str(sig_no)})
  client.flush()


def _ended_by_interrupt() -> bool:
  """Whether Python printed a KeyboardInterrupt that nobody caught; a prompt prints it too, and goes on."""
  return isinstance(getattr(sys, "last_value", None), KeyboardInterrupt) and not hasattr(sys, "ps1")


def _install() -> None:
  if threading.current_thread() is not threading.main_thread():
    return
  for name in ("SIGHUP", "SIGINT", "SIGTERM"):
    signum = getattr(signal, name, None)  # there is no SIGHUP on Windows
    if signum is not None and signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
      _previous[signum] = signal.signal(signum, sig_handler)


_install()
