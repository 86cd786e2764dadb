# SPDX-License-Identifier: Apache-2.0
"""Names and numbers of slots.

A slot is numbered (the high bits of its fids) and a feature is named. Where a model gives only one of the two, this
module supplies the other. The registry belongs to the process, so that every graph built from one model agrees: an
export is built from a copy of the model, and asks in another order than training did. So several models of one process
share names too; register different ones, or run the models in processes of their own.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Iterable, Mapping, Optional, Tuple, Union

from monolith.native_training import _flags

__all__ = [
  "enable_tob_env",
  "get_feature_name_and_slot",
  "get_slot_feature_name",
  "get_slot_from_feature_name",
  "register_slots",
]

_LOCK = threading.Lock()
_TOB_ENV = False
_NAME_TO_SLOT: Dict[str, int] = {}
_USED_SLOTS: set = set()


def enable_tob_env() -> None:
  """From now on an unnamed slot n is called `fc_slot_n` instead of `slot_n`, in the whole process."""
  global _TOB_ENV
  _TOB_ENV = True


def get_slot_feature_name(slot: int) -> str:
  """The name of a feature that is known only by its slot number."""
  return f"fc_slot_{slot}" if _TOB_ENV else f"slot_{slot}"


def register_slots(features: Union[Iterable[Any], Mapping[str, int]]) -> None:
  """Records which slots features have.

  Args:
    features: {feature name: slot number}, or an iterable of slot numbers and names that carry one.

  Raises:
    ValueError: a name carries no slot number, or is registered with another one.
  """
  if not isinstance(features, Mapping):
    features = dict(_named_slot(item) for item in features)
  with _LOCK:
    for name, slot in features.items():
      known = _NAME_TO_SLOT.get(name, slot)
      if known != slot:
        raise ValueError(f"register_slots: feature {name!r} has slot {known} already, not {slot}.")
      _NAME_TO_SLOT[name] = int(slot)
      _USED_SLOTS.add(int(slot))


def get_slot_from_feature_name(feature_name: str) -> Optional[int]:
  """The slot number of a feature.

  That is the registered one; else the number at the end of `slot_<n>` or `fc_slot_<n>` (None if it is no number);
  else the smallest free number, which is registered. Call order decides about the last, so register slots that appear
  in data.
  """
  with _LOCK:
    if feature_name in _NAME_TO_SLOT:
      return _NAME_TO_SLOT[feature_name]
    if feature_name.startswith(("slot_", "fc_slot_")):
      digits = feature_name.rsplit("_", 1)[1]
      return int(digits) if digits.isdigit() else None
    slot = 1
    while slot in _USED_SLOTS:
      slot += 1
    _NAME_TO_SLOT[feature_name] = slot
    _USED_SLOTS.add(slot)
    return slot


def get_feature_name_and_slot(item: Any, feature_list: Any = None) -> Tuple[str, Optional[int]]:
  """(feature name, slot number) of a slot number, a feature name, or an object with both.

  Args:
    item: what is asked about.
    feature_list: a FeatureList that is asked first; by default that of the flag `feature_list`, where it names one.

  Raises:
    ValueError: `item` is none of these.
  """
  if isinstance(item, int) and not isinstance(item, bool):
    listed = _in_feature_list(item, feature_list)
    return (listed.feature_name if listed else get_slot_feature_name(item)), item
  if isinstance(item, str):
    listed = _in_feature_list(item, feature_list)
    return item, listed.slot if listed and listed.slot is not None else get_slot_from_feature_name(item)
  if hasattr(item, "feature_name") and hasattr(item, "feature_slot"):
    slot = item.feature_slot
    return item.feature_name, slot if isinstance(slot, int) else slot.slot
  raise ValueError(f"{item!r} is no feature; give a slot number, a feature name or a feature column.")


def _in_feature_list(item: Union[int, str], given: Any) -> Any:
  if given is not None:
    return given.get(item)
  if not _flags.flag_value("feature_list", None):
    return None
  from monolith.native_training.data import feature_list  # TensorFlow; most callers have no list

  return feature_list.FeatureList.parse().get(item)


def _named_slot(item: Any) -> Tuple[str, int]:
  name, slot = get_feature_name_and_slot(item)
  if slot is None:
    raise ValueError(f"register_slots: feature {item!r} carries no slot number; pass {{name: slot}}.")
  return name, slot
