# SPDX-License-Identifier: Apache-2.0
"""Keeps the workers of an asynchronous job in step at its two ends.

Workers start when the chief has restored the tables, and the chief ends, with its last save, when they have finished.
"""

from __future__ import annotations

import time
from typing import List, Tuple, TypeAlias

import numpy as np
import tensorflow as tf
from absl import logging

__all__ = ["ChiefSyncHook", "SyncHelper", "TrainingHooksHelper", "WorkerSyncHook"]

_POLL_SECS = 1.0

_Hook: TypeAlias = tf.compat.v1.train.SessionRunHook


class SyncHelper:
  """What the processes of a job know of each other: cell 0 says "restored", cell i "worker i is alive".

  Args:
    num_workers: workers, the chief included.
    is_chief: whether this process is the chief, which initializes the state.
    var_device: where the state lives.
  """

  def __init__(self, num_workers: int, is_chief: bool, var_device: str = "/job:chief/task:0"):
    self._num_workers = num_workers
    keys = tf.compat.v1.GraphKeys
    with tf.compat.v1.device(var_device):
      self._state = tf.compat.v1.Variable(
        np.zeros([num_workers], np.bool_),
        trainable=False,
        collections=[keys.LOCAL_VARIABLES if is_chief else keys.GLOBAL_VARIABLES],
        name="sync_helper/state",
        use_resource=True,
      )
      self._index = tf.compat.v1.placeholder(tf.int32, [])
      self._value = tf.compat.v1.placeholder(tf.bool, [])
      self._write = tf.group(
        self._state.scatter_nd_update(tf.reshape(self._index, [1, 1]), tf.reshape(self._value, [1]))
      )

  def mark_restore_done(self, session: tf.compat.v1.Session) -> None:
    """Says that variables and tables are restored."""
    self._set(session, 0, True)

  def get_restore_status(self, session: tf.compat.v1.Session) -> bool:
    """Whether they are."""
    return bool(session.run(self._state)[0])

  def start_worker(self, session: tf.compat.v1.Session, idx: int) -> None:
    """Says that worker `idx` is alive.

    Raises:
      ValueError: idx is that of the chief, or of no worker.
    """
    self._set(session, self._checked(idx), True)

  def finish_worker(self, session: tf.compat.v1.Session, idx: int) -> None:
    """Says that worker `idx` has finished.

    Raises:
      ValueError: idx is that of the chief, or of no worker.
    """
    self._set(session, self._checked(idx), False)

  def get_alive_workers(self, session: tf.compat.v1.Session) -> List[int]:
    """Indices of the workers, without the chief, that are alive."""
    state = session.run(self._state)
    return [i for i in range(1, self._num_workers) if state[i]]

  def get_num_alive_workers(self, session: tf.compat.v1.Session) -> int:
    """How many they are."""
    return len(self.get_alive_workers(session))

  def _set(self, session: tf.compat.v1.Session, index: int, value: bool) -> None:
    session.run(self._write, {self._index: index, self._value: value})

  def _checked(self, idx: int) -> int:
    if not 0 < idx < self._num_workers:
      raise ValueError(
        f"SyncHelper: there is no worker {idx} beside the chief; indices are 1 to {self._num_workers - 1}."
      )
    return idx


class ChiefSyncHook(_Hook):
  """Announces the end of the restore, and waits for the workers before the chief ends.

  Args:
    sync_helper: the shared state.
    timeout_seconds: how long to wait for workers at the end.
  """

  def __init__(self, sync_helper: SyncHelper, timeout_seconds: float = 1800):
    self._sync_helper = sync_helper
    self._timeout_seconds = timeout_seconds

  def after_create_session(self, session, coord) -> None:
    del coord
    self._sync_helper.mark_restore_done(session)

  def end(self, session) -> None:
    deadline = time.monotonic() + self._timeout_seconds
    while True:
      alive = self._sync_helper.get_alive_workers(session)
      if not alive:
        return
      if time.monotonic() >= deadline:
        logging.warning("Workers %s have not finished after %s s; ending without them.", alive, self._timeout_seconds)
        return
      time.sleep(_POLL_SECS)


class WorkerSyncHook(_Hook):
  """Makes a worker wait until the chief has restored, and says when the worker has finished.

  Args:
    worker_index: of this worker, at least 1.
    sync_helper: the shared state.
  """

  def __init__(self, worker_index: int, sync_helper: SyncHelper):
    self._worker_index = worker_index
    self._sync_helper = sync_helper

  def after_create_session(self, session, coord) -> None:
    while not self._sync_helper.get_restore_status(session):
      if coord is not None and coord.wait_for_stop(_POLL_SECS):
        return
      if coord is None:
        time.sleep(_POLL_SECS)
    self._sync_helper.start_worker(session, self._worker_index)

  def end(self, session) -> None:
    self._sync_helper.finish_worker(session, self._worker_index)


class TrainingHooksHelper:
  """The hooks above for one process of a job; none if they are not wanted.

  Args:
    enable_sync: whether the job needs them.
    num_workers: workers, the chief included.
    worker_idx: of this worker; 0 is the chief.
    chief_timeout_seconds: how long the chief waits at the end.
  """

  def __init__(self, enable_sync: bool, num_workers: int, worker_idx: int, chief_timeout_seconds: float = 1800):
    self._chief_hooks: Tuple[_Hook, ...] = ()
    self._worker_hooks: Tuple[_Hook, ...] = ()
    if not enable_sync:
      return
    helper = SyncHelper(num_workers, is_chief=worker_idx == 0)
    if worker_idx == 0:
      self._chief_hooks = (ChiefSyncHook(helper, chief_timeout_seconds),)
    else:
      self._worker_hooks = (WorkerSyncHook(worker_idx, helper),)

  @property
  def training_chief_hooks(self) -> Tuple[_Hook, ...]:
    """Hooks of the chief alone."""
    return self._chief_hooks

  @property
  def training_hooks(self) -> Tuple[_Hook, ...]:
    """Hooks of the other workers."""
    return self._worker_hooks
