# SPDX-License-Identifier: Apache-2.0
"""One table a slot."""

from __future__ import annotations

import copy
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from monolith.native_training import entry
from monolith.native_training import hash_table_ops
from monolith.native_training._base_multi_type_hash_table import BaseMultiTypeHashTable
from monolith.native_training._fused_table_ops import FusedEmbeddings
from monolith.native_training._table_arguments import current_learning_rates

import tensorflow as tf


class MultiTypeHashTable(BaseMultiTypeHashTable):
  """A table of its own for every slot.

  Args:
    slot_to_config: what the embeddings of each slot are made of.
    hash_table_factory: (slot, config) -> its table; called in the order of sorted slots.
  """

  def __init__(
    self,
    slot_to_config: Dict[str, entry.HashTableConfigInstance],
    hash_table_factory: Callable[[str, entry.HashTableConfigInstance], Any],
  ):
    self._configs = {slot: slot_to_config[slot] for slot in sorted(slot_to_config)}
    self._tables: Dict[str, Any] = {slot: hash_table_factory(slot, config) for slot, config in self._configs.items()}
    # Eagerly a schedule goes on, so it is called at every step.
    self._learning_rate_tensor = None if tf.executing_eagerly() else self._current_learning_rates()

  def _current_learning_rates(self) -> Optional[tf.Tensor]:
    """Float32, one rate a slice in the order of sorted slots."""
    if not self._configs:
      return None
    return tf.concat([current_learning_rates(config) for config in self._configs.values()], 0)

  def _table_of(self, slot: str) -> Any:
    if slot not in self._tables:
      raise KeyError(f"slot {slot!r} has no table; there are tables of {list(self._tables)}.")
    return self._tables[slot]

  def lookup(self, slot_to_id: Dict[str, tf.Tensor], *args: Any, **kwargs: Any) -> Dict[str, tf.Tensor]:
    """See BaseMultiTypeHashTable.lookup; further arguments go to each table.

    Raises:
      KeyError: a slot has no table; the same for the updates.
    """
    return {slot: self._table_of(slot).lookup(ids, *args, **kwargs) for slot, ids in slot_to_id.items()}

  def assign(
    self, slot_to_id_and_value: Dict[str, Tuple[tf.Tensor, tf.Tensor]], *args: Any, **kwargs: Any
  ) -> MultiTypeHashTable:
    """See BaseMultiTypeHashTable.assign; further arguments go to each table."""
    return self._update("assign", slot_to_id_and_value, *args, **kwargs)

  def assign_add(
    self, slot_to_id_and_value: Dict[str, Tuple[tf.Tensor, tf.Tensor]], *args: Any, **kwargs: Any
  ) -> MultiTypeHashTable:
    """See BaseMultiTypeHashTable.assign_add; further arguments go to each table."""
    return self._update("assign_add", slot_to_id_and_value, *args, **kwargs)

  def apply_gradients(
    self,
    slot_to_id_and_grad: Dict[str, Tuple[tf.Tensor, tf.Tensor]],
    *args: Any,
    looked_up: Optional[Mapping[str, tf.Tensor]] = None,
    **kwargs: Any,
  ) -> MultiTypeHashTable:
    """See BaseMultiTypeHashTable.apply_gradients; further arguments go to each table."""
    tables = {
      slot: self._table_of(slot).apply_gradients(*pair, *args, looked_up=(looked_up or {}).get(slot), **kwargs)
      for slot, pair in sorted(slot_to_id_and_grad.items())
    }
    return self._copy_with(tables)

  def _update(
    self, method: str, updates: Dict[str, Tuple[tf.Tensor, tf.Tensor]], *args: Any, **kwargs: Any
  ) -> MultiTypeHashTable:
    tables = {
      slot: getattr(self._table_of(slot), method)(*pair, *args, **kwargs) for slot, pair in sorted(updates.items())
    }
    return self._copy_with(tables)

  def _copy_with(self, tables: Dict[str, Any]) -> MultiTypeHashTable:
    copied = copy.copy(self)
    copied._tables = {**self._tables, **tables}
    return copied

  def reinitialize(self, slot: str, ids: tf.Tensor) -> Tuple[BaseMultiTypeHashTable, tf.Tensor]:
    """Not possible: single tables have no such op.

    Raises:
      NotImplementedError: always.
    """
    raise NotImplementedError("MultiTypeHashTable.reinitialize: single tables cannot; use a MultiHashTable.")

  def as_op(self, name: Optional[str] = None) -> tf.Operation:
    """A no-op named `<name or mtht_ao>/done` that runs after all updates behind this object."""
    with tf.name_scope(name or "mtht_ao"), tf.control_dependencies([t.as_op() for t in self._tables.values()]):
      return tf.no_op(name="done")

  def get_table_dim_sizes(self) -> List[int]:
    """The width of each table, in the order of sorted slots."""
    return [table.dim_size for table in self._tables.values()]

  def fused_lookup(
    self, ids: tf.Tensor, fused_slot_size: tf.Tensor, num_of_shards: int, req_time: Optional[tf.Tensor] = None
  ) -> FusedEmbeddings:
    """See hash_table_ops.fused_lookup; the tables stand in the order of sorted slots."""
    return hash_table_ops.fused_lookup(list(self._tables.values()), ids, fused_slot_size, num_of_shards, req_time)

  def fused_apply_gradient(
    self,
    ids: tf.Tensor,
    indices: tf.Tensor,
    fused_slot_size: tf.Tensor,
    id_grads: tf.Tensor,
    id_offsets: tf.Tensor,
    grad_offsets: tf.Tensor,
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor],
    num_of_shards: int,
    enable_grad_accumulation: bool = False,
  ) -> MultiTypeHashTable:
    """See hash_table_ops.fused_apply_gradient; learning rates are those of the configs."""
    rates = self._learning_rate_tensor
    handles = hash_table_ops.fused_apply_gradient(
      list(self._tables.values()), ids, indices, fused_slot_size, id_grads, id_offsets, grad_offsets,
      self._current_learning_rates() if rates is None else rates, req_time, global_step, num_of_shards,
      enable_grad_accumulation,
    )  # fmt: skip
    updated = zip(self._tables.items(), handles, strict=True)
    return self._copy_with({slot: table.table_update(handle) for (slot, table), handle in updated})
