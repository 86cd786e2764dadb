# SPDX-License-Identifier: Apache-2.0
"""Bounds how often a loop goes on with a new session after it lost one."""

from __future__ import annotations

import tensorflow as tf
from absl import logging

from monolith.native_training import _checkpoint_files

__all__ = ["RestartLimitHook", "SessionLostError"]


class SessionLostError(RuntimeError):
  """The loop lost its session (a server was preempted) and must not, or may no longer, go on with a new one."""


class RestartLimitHook(tf.compat.v1.train.SessionRunHook):
  """Ends the loop when its session is lost once too often.

  TensorFlow's loop makes a new session after an AbortedError or UnavailableError, without end. Before the first
  checkpoint there is nothing to go back to: variables would start afresh beside tables that keep what they learned on
  servers that live on.

  Args:
    model_dir: directory of the checkpoints.
    max_restarts: how many new sessions are fine.
    servers_live_on: whether tables outlive the session.
  """

  def __init__(self, model_dir: str, max_restarts: int, servers_live_on: bool):
    self._model_dir = model_dir
    self._max_restarts = max_restarts
    self._servers_live_on = servers_live_on
    self._sessions = 0

  def after_create_session(self, session, coord) -> None:
    del session, coord
    restarts = self._sessions
    self._sessions += 1
    if restarts > self._max_restarts:
      raise SessionLostError(
        f"the training session was lost {restarts} times, max_retry_times is {self._max_restarts}; "
        f"start the training again, it goes on from the newest checkpoint in {self._model_dir}."
      )
    if restarts and self._servers_live_on and _checkpoint_files.latest_checkpoint(self._model_dir) is None:
      raise SessionLostError(
        f"the training session was lost before the first checkpoint in {self._model_dir}; start the training again."
      )
    if restarts:
      logging.warning("The session was lost; going on with a new one (%d of %d).", restarts, self._max_restarts)
