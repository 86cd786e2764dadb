# SPDX-License-Identifier: Apache-2.0
"""The interface of tables of many slots."""

from __future__ import annotations

import abc
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

import tensorflow as tf


class BaseMultiTypeHashTable(abc.ABC):
  """A table a slot, looked up and updated together.

  Ids are int64 [n], vectors float32 [n, dim of the slot]. An update returns a new object whose later
  reads are ordered after it; the old object stays usable and promises no order.
  """

  @abc.abstractmethod
  def lookup(self, slot_to_id: Dict[str, tf.Tensor]) -> Dict[str, tf.Tensor]:
    """slot -> [n, dim]; zeros for what no table holds."""

  @abc.abstractmethod
  def assign(
    self, slot_to_id_and_value: Dict[str, Tuple[tf.Tensor, tf.Tensor]], req_time: Optional[tf.Tensor] = None
  ) -> BaseMultiTypeHashTable:
    """Overwrites or inserts vectors; `req_time` is int64 seconds."""

  @abc.abstractmethod
  def assign_add(
    self, slot_to_id_and_value: Dict[str, Tuple[tf.Tensor, tf.Tensor]], req_time: Optional[tf.Tensor] = None
  ) -> BaseMultiTypeHashTable:
    """Adds to vectors, to fresh ones where the id is new."""

  @abc.abstractmethod
  def reinitialize(self, slot: str, ids: tf.Tensor) -> Tuple[BaseMultiTypeHashTable, tf.Tensor]:
    """Gives ids their first value again; beside the table int32 [n]: 1 existed, 0 new, -1 no slot."""

  @abc.abstractmethod
  def apply_gradients(
    self,
    slot_to_id_and_grad: Dict[str, Tuple[tf.Tensor, tf.Tensor]],
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
    *,
    looked_up: Optional[Mapping[str, tf.Tensor]] = None,
  ) -> BaseMultiTypeHashTable:
    """One optimizer step for every id.

    `looked_up` is what the gradients of a slot were computed from, [n, dim]: needed of slots with `entry.DcOptimizer`.
    """

  @abc.abstractmethod
  def as_op(self, name: Optional[str] = None) -> tf.Operation:
    """An op that is done when all updates behind this object are."""

  @abc.abstractmethod
  def get_table_dim_sizes(self) -> List[int]:
    """The width of each table's vectors."""

  def add_queue_hook(self, hook: tf.compat.v1.train.SessionRunHook) -> None:
    """Adds a hook that the session running this table needs."""
    self._queue_hooks = [*getattr(self, "_queue_hooks", []), hook]

  def get_queue_hooks(self) -> List[tf.compat.v1.train.SessionRunHook]:
    """This object's hooks, then those of the tables inside it."""
    hooks = list(getattr(self, "_queue_hooks", []))
    for table in _inner_tables(self):
      if hasattr(table, "get_queue_hooks"):
        hooks.extend(table.get_queue_hooks())
    return hooks


def _inner_tables(table: BaseMultiTypeHashTable) -> Iterator[object]:
  """What an implementation keeps in `_table` and in `_tables` (a list or a dict)."""
  single = getattr(table, "_table", None)
  if single is not None:
    yield single
  inner = getattr(table, "_tables", None) or []
  yield from inner.values() if isinstance(inner, dict) else inner
