# SPDX-License-Identifier: Apache-2.0
"""Lets code outside of hooks reach the session of the training loop."""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

__all__ = ["SetCurrentSessionHook", "get_current_session"]

_CURRENT_SESSION: Optional[tf.compat.v1.Session] = None


def get_current_session() -> Optional[tf.compat.v1.Session]:
  """The session of the training loop that runs in this process, or None."""
  return _CURRENT_SESSION


class SetCurrentSessionHook(tf.compat.v1.train.SessionRunHook):
  """Publishes the loop's session to `get_current_session` from its creation to the loop's end."""

  def after_create_session(self, session, coord) -> None:
    del coord
    global _CURRENT_SESSION
    _CURRENT_SESSION = session

  def end(self, session) -> None:
    del session
    global _CURRENT_SESSION
    _CURRENT_SESSION = None
