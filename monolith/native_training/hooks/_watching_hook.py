# SPDX-License-Identifier: Apache-2.0
"""A hook that looks at something from a thread of its own while a loop runs."""

from __future__ import annotations

import abc
import threading
from typing import Optional

import tensorflow as tf

__all__ = ["WatchingHook"]


class WatchingHook(tf.compat.v1.train.SessionRunHook, abc.ABC):
  """Runs `watch` in a thread from the creation of each session to the end of the loop, which waits for it."""

  def __init__(self) -> None:
    self._stopping = threading.Event()
    self._thread: Optional[threading.Thread] = None

  @abc.abstractmethod
  def watch(
    self, session: tf.compat.v1.Session, coord: Optional[tf.train.Coordinator], stopping: threading.Event
  ) -> None:
    """Looks until there is nothing more to see, `stopping` is set or `coord` stops; raises nothing."""

  def after_create_session(self, session, coord) -> None:
    self._stopping = threading.Event()
    self._thread = threading.Thread(target=self.watch, args=(session, coord, self._stopping), daemon=True)
    self._thread.start()

  def end(self, session) -> None:
    del session
    self._stopping.set()
    if self._thread is not None:
      self._thread.join()
