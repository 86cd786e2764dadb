# SPDX-License-Identifier: Apache-2.0
"""Hooking into the moment at which a session's state is restored.

Dense variables are restored while the session is created. Everything else (tables, filters, item pools) is restored by
listeners of the `CheckpointRestorerHook`, right after that and before any other hook sees the session.
"""

from __future__ import annotations

from typing import Iterable, Optional

import tensorflow as tf
from absl import logging

__all__ = ["CheckpointRestorerHook", "CheckpointRestorerListener"]


class CheckpointRestorerListener:
  """Callbacks around the restore that follows the creation of a session. Override what you need."""

  def begin(self) -> None:
    """Called once while the graph can still be changed."""

  def before_restore(self, session: tf.compat.v1.Session) -> None:
    """Called once per created session, to restore state into it."""

  def after_restore(self, session: tf.compat.v1.Session) -> None:
    """Called once per created session, after `before_restore` of every listener."""

  def end(self, session: tf.compat.v1.Session) -> None:
    """Called once when the loop ends without an error."""


class CheckpointRestorerHook(tf.compat.v1.train.SessionRunHook):
  """Runs restore listeners once per created session; restores nothing itself.

  Args:
    listeners: called in the given order.
  """

  def __init__(self, listeners: Optional[Iterable[CheckpointRestorerListener]] = None):
    self._listeners = tuple(listeners or ())

  def begin(self) -> None:
    for listener in self._listeners:
      listener.begin()

  def after_create_session(self, session, coord) -> None:
    del coord
    logging.vlog(1, "Running %d restore listeners.", len(self._listeners))
    for listener in self._listeners:
      listener.before_restore(session)
    for listener in self._listeners:
      listener.after_restore(session)

  def end(self, session) -> None:
    for listener in self._listeners:
      listener.end(session)
