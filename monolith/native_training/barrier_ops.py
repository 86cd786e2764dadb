# SPDX-License-Identifier: Apache-2.0
"""A barrier at which the workers of a job wait between two steps, for instance while the chief saves.

The chief places the barrier with an action; every other worker meets it after its step, does what its callbacks say
about the action, reports itself blocked and waits until the barrier is removed. The state is a vector that all
processes share: the chief keeps it among its local variables, so that a new chief session starts with no barrier, and
the others among their global ones, which they wait for but never initialize.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

__all__ = ["BarrierAlreadyPlacedError", "BarrierHook", "BarrierOp"]

BarrierCallback = Callable[[str, tf.compat.v1.Session], None]

# What a worker's cell says; positive numbers are the barrier that the worker waits at.
_RUNNING = 0
_FINISHED = -1


class BarrierAlreadyPlacedError(Exception):
  """The barrier is placed already; it has to be removed before it can be placed again."""


class BarrierOp:
  """The barrier of `capacity` workers. Every worker builds one in its graph, with the same name_prefix.

  Barriers are numbered, so that a worker that slept through a removal and a new placing tells the two apart and runs
  its callbacks for the second as well.

  Args:
    capacity: number of workers, the chief included.
    is_chief: whether this process places barriers, and initializes their state.
    wait_seconds: how often a blocked worker looks whether the barrier is gone.
    name_prefix: tells the barriers of a graph apart.
    barrier_callbacks: called as `callback(action, session)`: in the chief once the barrier is placed, in other workers
      before they report themselves blocked.

  Raises:
    ValueError: capacity is below 1.
  """

  def __init__(
    self,
    capacity: int,
    is_chief: bool = True,
    wait_seconds: float = 1,
    name_prefix: str = "default",
    barrier_callbacks: Optional[Sequence[BarrierCallback]] = None,
  ):
    if capacity < 1:
      raise ValueError(f"BarrierOp: capacity is {capacity}; it is the number of workers, at least 1.")
    self._capacity = capacity
    self._wait_seconds = wait_seconds
    self._callbacks = tuple(barrier_callbacks or ())
    self._lock = threading.Lock()
    keys = tf.compat.v1.GraphKeys
    collections = [keys.LOCAL_VARIABLES if is_chief else keys.GLOBAL_VARIABLES]
    # Cell 0: the number of the placed barrier, or minus the number of the last one. Cell i: see _RUNNING.
    self._state = tf.compat.v1.Variable(
      np.zeros([capacity], np.int64),
      trainable=False,
      collections=collections,
      name=f"barrier_{name_prefix}/state",
      use_resource=True,
    )
    self._action = tf.compat.v1.Variable(
      "", trainable=False, collections=collections, name=f"barrier_{name_prefix}/action", use_resource=True
    )
    self._placed = self._state[0] > 0
    self._build_updates()

  def _build_updates(self) -> None:
    self._index = tf.compat.v1.placeholder(tf.int64, [])
    self._value = tf.compat.v1.placeholder(tf.int64, [])
    self._new_action = tf.compat.v1.placeholder(tf.string, [])
    number = tf.abs(self._state[0])
    with tf.control_dependencies([self._action.assign(self._new_action, read_value=False)]):
      self._place = self._write(0, number + 1)
    self._remove = self._write(0, -number)
    self._write_cell = self._write(self._index, self._value)

  def _write(self, index: object, value: object) -> tf.Operation:
    indices = tf.reshape(tf.cast(index, tf.int64), [1, 1])
    return tf.group(self._state.scatter_nd_update(indices, tf.reshape(tf.cast(value, tf.int64), [1])))

  @property
  def capacity(self) -> int:
    """Number of workers, the chief included."""
    return self._capacity

  @property
  def barrier_placed_tensor(self) -> tf.Tensor:
    """Whether the barrier is placed, a bool scalar."""
    return self._placed

  def place_barrier(self, session: tf.compat.v1.Session, action: str = "") -> None:
    """Places the barrier, then calls the callbacks; when one fails, it is removed. Only the chief's process places it.

    Raises:
      BarrierAlreadyPlacedError: it is placed.
    """
    with self._lock:
      if self.is_barrier_placed(session):
        raise BarrierAlreadyPlacedError(f"the barrier is already placed, for {self._read_action(session)!r}.")
      session.run(self._place, {self._new_action: action})
    try:
      self._call(action, session)
    except BaseException:
      # Whoever placed it will not know that it stands.
      self.remove_barrier(session)
      raise

  def remove_barrier(self, session: tf.compat.v1.Session) -> None:
    """Removes the barrier, if there is one."""
    with self._lock:
      session.run(self._remove)

  def is_barrier_placed(self, session: tf.compat.v1.Session) -> bool:
    """Whether the barrier is placed."""
    return bool(session.run(self._placed))

  def is_barrier_removed(self, session: tf.compat.v1.Session) -> bool:
    """Whether there is no barrier."""
    return not self.is_barrier_placed(session)

  def wait_until_barrier_removed(self, session: tf.compat.v1.Session, index: int) -> None:
    """Blocks worker `index` until there is no barrier.

    Raises:
      ValueError: index is that of the chief, or of no worker.
    """
    self._check_index(index)
    number = self._number(session)
    while number > 0:
      self._call(self._read_action(session), session)
      session.run(self._write_cell, {self._index: index, self._value: number})
      met = number
      while number == met:
        time.sleep(self._wait_seconds)
        number = self._number(session)
    session.run(self._write_cell, {self._index: index, self._value: _RUNNING})

  def mark_finished(self, session: tf.compat.v1.Session, index: int, finished: bool = True) -> None:
    """Says that worker `index` will meet no more barriers (or will again), so that nobody waits for it."""
    self._check_index(index)
    session.run(self._write_cell, {self._index: index, self._value: _FINISHED if finished else _RUNNING})

  def is_all_blocked(self, session: tf.compat.v1.Session) -> bool:
    """Whether the barrier is placed and every worker but those that have finished waits at it."""
    return not self.get_unblocked_indices(session)

  def is_none_blocked(self, session: tf.compat.v1.Session) -> bool:
    """Whether there is no barrier and no worker waits at one."""
    return not self.get_blocked_indices(session)

  def get_blocked_indices(self, session: tf.compat.v1.Session) -> List[int]:
    """Workers that wait at the barrier; 0 stands for the barrier itself."""
    return self._indices(session)[0]

  def get_unblocked_indices(self, session: tf.compat.v1.Session) -> List[int]:
    """Workers that have not met the barrier and have not finished; 0 if there is no barrier."""
    return self._indices(session)[1]

  def _indices(self, session: tf.compat.v1.Session) -> Tuple[List[int], List[int]]:
    state = session.run(self._state)
    number = abs(int(state[0]))
    blocked = [0] if state[0] > 0 else []
    blocked += [i for i in range(1, self._capacity) if number and state[i] == number]
    away = {i for i in range(1, self._capacity) if state[i] == _FINISHED}
    return blocked, [i for i in range(self._capacity) if i not in away and i not in blocked]

  def _number(self, session: tf.compat.v1.Session) -> int:
    return int(session.run(self._state)[0])

  def _read_action(self, session: tf.compat.v1.Session) -> str:
    return session.run(self._action).decode()

  def _call(self, action: str, session: tf.compat.v1.Session) -> None:
    for callback in self._callbacks:
      callback(action, session)

  def _check_index(self, index: int) -> None:
    if not 0 < index < self._capacity:
      raise ValueError(
        f"BarrierOp: worker {index} cannot wait; indices of waiting workers are 1 to {self._capacity - 1}."
      )


class BarrierHook(tf.compat.v1.train.SessionRunHook):
  """Makes a worker wait at the barrier after each step. The chief, index 0, is never blocked.

  Args:
    index: of this worker.
    barrier_op: the barrier.
  """

  def __init__(self, index: int, barrier_op: BarrierOp):
    self._index = index
    self._barrier_op = barrier_op

  def after_create_session(self, session, coord) -> None:
    del coord
    if self._index:
      self._barrier_op.mark_finished(session, self._index, finished=False)

  def before_run(self, run_context):
    del run_context
    if not self._index:
      return None
    return tf.compat.v1.train.SessionRunArgs(self._barrier_op.barrier_placed_tensor)

  def after_run(self, run_context, run_values) -> None:
    if self._index and run_values.results:
      self._barrier_op.wait_until_barrier_removed(run_context.session, self._index)

  def end(self, session) -> None:
    if self._index:
      self._barrier_op.mark_finished(session, self._index)
