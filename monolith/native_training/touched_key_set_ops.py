# SPDX-License-Identifier: Apache-2.0
"""A bounded set of the keys that were touched since somebody took them."""

from __future__ import annotations

from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

TOUCHED_KEY_SET_CAPACITY = 2097152
TOUCHED_KEY_SET_CONCURRENCY_LEVEL = 1024


def create_touched_key_set(capacity: int, concurrency_level: int, name_suffix: str = "") -> tf.Tensor:
  """Returns the handle of a set, a resource scalar, shared under `MonolithTouchedKeySet` + suffix.

  Args:
    capacity: keys that it holds, at least 1; when a new one comes while it holds more, it is emptied first.
    concurrency_level: threads that insert with little waiting for each other, at least 1.
    name_suffix: of the shared name.
  """
  return gen_monolith_ops.monolith_touched_key_set(
    capacity=capacity, concurrency_level=concurrency_level, shared_name="MonolithTouchedKeySet" + name_suffix
  )


class TouchedKeySet:
  """A set of touched keys; see `create_touched_key_set`."""

  def __init__(
    self,
    capacity: int = TOUCHED_KEY_SET_CAPACITY,
    concurrency_level: int = TOUCHED_KEY_SET_CONCURRENCY_LEVEL,
    name_suffix: str = "",
  ):
    self._capacity = capacity
    self._concurrency_level = concurrency_level
    self._handle = create_touched_key_set(capacity, concurrency_level, name_suffix)

  def insert(self, ids: tf.Tensor) -> tf.Tensor:
    """Adds int64 keys [n]; returns how many keys were dropped to make room, int64 [1]."""
    return gen_monolith_ops.monolith_touched_key_set_insert(self._handle, ids)

  def steal(self) -> tf.Tensor:
    """Takes all keys out of the set: int64 [n], in any order."""
    return gen_monolith_ops.monolith_touched_key_set_steal(self._handle)

  @property
  def capacity(self) -> int:
    """Keys that it holds."""
    return self._capacity

  @property
  def concurrency_level(self) -> int:
    """Threads that insert with little waiting."""
    return self._concurrency_level

  @property
  def handle(self) -> tf.Tensor:
    """The resource."""
    return self._handle
