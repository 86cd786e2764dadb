# SPDX-License-Identifier: Apache-2.0
"""Narrowing a checkpoint saver listener to one side of the save."""

from __future__ import annotations

from typing import Optional, TypeAlias

import tensorflow as tf

__all__ = ["AfterSaveListener", "BeforeSaveListener"]

_Listener: TypeAlias = tf.compat.v1.train.CheckpointSaverListener


class BeforeSaveListener(_Listener):
  """Forwards everything but `after_save` to `listener`."""

  def __init__(self, listener: _Listener):
    self._listener = listener

  def begin(self) -> None:
    self._listener.begin()

  def before_save(self, session, global_step_value: int) -> None:
    self._listener.before_save(session, global_step_value)

  def end(self, session, global_step_value: int) -> None:
    self._listener.end(session, global_step_value)


class AfterSaveListener(_Listener):
  """Forwards everything but `before_save` to `listener`."""

  def __init__(self, listener: _Listener):
    self._listener = listener

  def begin(self) -> None:
    self._listener.begin()

  def after_save(self, session, global_step_value: int) -> Optional[bool]:
    return self._listener.after_save(session, global_step_value)

  def end(self, session, global_step_value: int) -> None:
    self._listener.end(session, global_step_value)
