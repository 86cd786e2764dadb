# SPDX-License-Identifier: Apache-2.0
"""Slots of equal configuration in one table."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from monolith.native_training import entry
from monolith.native_training import hash_table_utils
from monolith.native_training._base_multi_type_hash_table import BaseMultiTypeHashTable

import tensorflow as tf

Configs = Dict[str, entry.HashTableConfigInstance]


@dataclasses.dataclass
class _IndexedValues:
  """Slots that were merged, the slot of each row, and the rows; kept for existing imports."""

  slots: List[str]
  index: tf.Tensor
  value: tf.Tensor


def _digest(names: List[str]) -> str:
  return hashlib.md5(",".join(sorted(names)).encode()).hexdigest()


def merged_name(slots: List[str]) -> str:
  """The name of the table that slots share: a digest of their sorted names."""
  return _digest(slots)


def _old_names(slots: List[str]) -> List[str]:
  """The name under which a checkpoint may hold the table if its slots were `slot_<n>` then."""
  old = _digest([re.sub(r"^fc_(slot_[0-9]*)$", r"\1", slot) for slot in slots])
  return [] if old == _digest(slots) else [old]


def _merge_configs(slot_to_config: Configs) -> Tuple[Configs, Dict[str, str]]:
  """-> (merged name -> config, slot -> merged name); the given configs stay as they are."""
  by_text: Dict[str, List[str]] = {}
  for slot in sorted(slot_to_config):
    by_text.setdefault(str(slot_to_config[slot]), []).append(slot)
  merged: Configs = {}
  mapping: Dict[str, str] = {}
  for slots in by_text.values():
    name, first = merged_name(slots), slot_to_config[slots[0]]
    restore_names = [n for slot in slots for n in slot_to_config[slot].extra_restore_names]
    config = entry.HashTableConfigInstance(
      first.table_config, first.learning_rate_fns, list(dict.fromkeys(restore_names + _old_names(slots)))
    )
    if first.learning_rate_tensor is not None:
      config.set_learning_rate_tensor(first.learning_rate_tensor)
    merged[name] = config
    mapping.update({slot: name for slot in slots})
  return merged, mapping


def _sizes(ids: List[tf.Tensor]) -> Any:
  """How many ids each tensor has, as numbers where they are known."""
  static = [i.shape.num_elements() for i in ids]
  return static if None not in static else tf.stack([tf.size(i) for i in ids])


class MergedMultiTypeHashTable(BaseMultiTypeHashTable):
  """Tables where slots of equal configuration share one, so that an id of two such slots is one row.

  Args:
    slot_to_config: what each slot's vectors are made of; equal texts count as equal.
    factory: (merged name -> config) -> the tables.
  """

  def __init__(self, slot_to_config: Configs, factory: Callable[[Configs], BaseMultiTypeHashTable]):
    self._merged_to_config, self._slot_mapping = _merge_configs(slot_to_config)
    self._table: Any = factory(self._merged_to_config)

  @property
  def slot_mapping(self) -> Dict[str, str]:
    """slot -> the name of its table."""
    return self._slot_mapping

  def _by_table(self, slots: Any) -> Dict[str, List[str]]:
    """merged name -> those of the given slots that it holds, sorted.

    Raises:
      KeyError: a slot has no table.
    """
    result: Dict[str, List[str]] = {}
    for slot in sorted(slots):
      if slot not in self._slot_mapping:
        raise KeyError(f"slot {slot!r} has no table; there are tables of {sorted(self._slot_mapping)}.")
      result.setdefault(self._slot_mapping[slot], []).append(slot)
    return result

  def lookup(  # type: ignore[override]  # a bundle asks for a pair
    self,
    slot_to_id: Dict[str, tf.Tensor],
    auxiliary_bundle: Optional[Dict[str, Any]] = None,
    early_reorder_indicies_res_pack: Any = None,
  ) -> Union[Dict[str, tf.Tensor], Tuple[Dict[str, tf.Tensor], Dict[str, Any]]]:
    """Reads the embeddings of slots.

    Args:
      slot_to_id: slot -> int64 [n].
      auxiliary_bundle: tensors that travel with a synchronous step.
      early_reorder_indicies_res_pack: (sizes, inner pack) of ids that were merged and exchanged in the input pipeline:
        merged name -> number of ids of each of its slots that are asked, in sorted order; and what the inner table's
        lookup takes. The ids in `slot_to_id` are not read then.

    Returns:
      slot -> float32 [n, dim]; beside it the bundle, where that is not empty.

    Raises:
      KeyError: a slot has no table.
      ValueError: the pack has not two parts.
    """
    by_table = self._by_table(slot_to_id)
    if early_reorder_indicies_res_pack is not None:
      num_parts = len(early_reorder_indicies_res_pack)
      if num_parts != 2:
        raise ValueError(
          f"MergedMultiTypeHashTable.lookup: early_reorder_indicies_res_pack has {num_parts} parts; pass "
          "the sizes of merged slots and the inner pack."
        )
      sizes, inner_pack = early_reorder_indicies_res_pack
      found = self._table.lookup(dict.fromkeys(by_table), auxiliary_bundle, inner_pack)
      if isinstance(found, tuple):
        found, auxiliary_bundle = found
    else:
      ids = {slot: tf.reshape(tf.cast(i, tf.int64), [-1]) for slot, i in slot_to_id.items()}
      merged = {name: tf.concat([ids[slot] for slot in slots], 0) for name, slots in by_table.items()}
      sizes = {name: _sizes([ids[slot] for slot in slots]) for name, slots in by_table.items()}
      found = self._table.lookup(merged)
    result: Dict[str, tf.Tensor] = {}
    for name, slots in by_table.items():
      result.update(zip(slots, tf.split(found[name], sizes[name], num=len(slots)), strict=True))
    return (result, auxiliary_bundle) if auxiliary_bundle else result

  def assign(
    self, slot_to_id_and_value: Dict[str, Any], req_time: Optional[tf.Tensor] = None, skip_merge_id: bool = False
  ) -> MergedMultiTypeHashTable:
    """See BaseMultiTypeHashTable.assign."""
    return self._update("assign", slot_to_id_and_value, skip_merge_id, req_time=req_time)

  def assign_add(
    self, slot_to_id_and_value: Dict[str, Any], req_time: Optional[tf.Tensor] = None, skip_merge_id: bool = False
  ) -> MergedMultiTypeHashTable:
    """See BaseMultiTypeHashTable.assign_add."""
    return self._update("assign_add", slot_to_id_and_value, skip_merge_id, req_time=req_time)

  def apply_gradients(
    self,
    slot_to_id_and_grad: Dict[str, Any],
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
    skip_merge_id: bool = False,
    *,
    looked_up: Optional[Mapping[str, tf.Tensor]] = None,
    **kwargs: Any,
  ) -> MergedMultiTypeHashTable:
    """See BaseMultiTypeHashTable.apply_gradients; further arguments go to the tables."""
    if looked_up:
      kwargs["looked_up"] = {
        name: tf.concat([looked_up[slot] for slot in slots], 0)
        for name, slots in self._by_table(slot_to_id_and_grad).items()
        if all(slot in looked_up for slot in slots)
      }
    return self._update(
      "apply_gradients", slot_to_id_and_grad, skip_merge_id, global_step=global_step, req_time=req_time, **kwargs
    )

  def _update(
    self, method: str, update: Dict[str, Any], skip_merge_id: bool, **kwargs: Any
  ) -> MergedMultiTypeHashTable:
    """Calls `method` of the tables with what belongs to each; without ids if those are merged already."""
    merged = {}
    for name, slots in self._by_table(update).items():
      if skip_merge_id:
        merged[name] = tf.concat([update[slot] for slot in slots], 0)
      else:
        ids = [tf.reshape(tf.cast(update[slot][0], tf.int64), [-1]) for slot in slots]
        merged[name] = (tf.concat(ids, 0), tf.concat([update[slot][1] for slot in slots], 0))
    updated = copy.copy(self)
    updated._table = getattr(self._table, method)(merged, **kwargs)
    return updated

  def reinitialize(self, slot: str, ids: tf.Tensor):
    """Not possible: another slot may share the rows.

    Raises:
      NotImplementedError: always.
    """
    raise NotImplementedError(
      "MergedMultiTypeHashTable.reinitialize: other slots may share the rows; use a MultiHashTable."
    )

  def as_op(self, name: Optional[str] = None) -> tf.Operation:
    """See BaseMultiTypeHashTable.as_op."""
    return self._table.as_op(name=name)

  def get_table_dim_sizes(self) -> List[int]:
    """The width of every table's vectors, in the order of sorted merged names."""
    return [hash_table_utils.infer_dim_size(self._merged_to_config[name]) for name in sorted(self._merged_to_config)]
