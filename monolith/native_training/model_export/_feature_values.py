# SPDX-License-Identifier: Apache-2.0
"""Random fids, dense values and fields of LineId, written into messages."""

from __future__ import annotations

import functools
from typing import Any, List, Optional, Sequence

from absl import logging

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import example_pb2, feature_pb2, line_id_pb2
from monolith.native_training.model_export._feature_meta import FeatureMeta, Features, extra_metas
from monolith.native_training.model_export._random_draws import Draws, Seed

__all__ = ["MASK_V1", "MASK_V2", "MAX_SLOT_V1", "MAX_SLOT_V2", "fill_features", "fill_line_id", "gen_fids_v1",
           "gen_fids_v2"]  # fmt: skip

_V1_BITS, _V2_BITS = 54, 48
MASK_V1 = (1 << _V1_BITS) - 1
"""The bits of a version-1 fid below its slot."""
MASK_V2 = (1 << _V2_BITS) - 1
"""The bits of a version-2 fid below its slot."""
MAX_SLOT_V1 = 1023
"""Slots of made-up version-1 fids lie below."""
MAX_SLOT_V2 = 1 << 15
"""Slots of version-2 fids lie below; one bit more, and readers would take the fid for another slot's."""

_USER_SLOT, _ITEM_SLOT = 1, 200  # every sample has a user and an item
_NUM_ACTIONS = 11
_SMALL = 10  # integers without a meaning of their own lie below, so that most vocabularies hold them
_SEVERAL_METHODS = ("Combine", "VectorTopString")


def gen_fids_v1(slot: int, size: int = 1, rng: Seed = None) -> List[int]:
  """`size` random fids of version 1: the slot in bits 54 to 63.

  Args:
    slot: the slot; where it is not in (0, 1023) there are no fids, which is logged.
    size: how many.
    rng: a NumPy generator or a seed.

  >>> [fid >> 54 for fid in gen_fids_v1(3, 2)], gen_fids_v1(2000)
  ([3, 3], [])
  """
  if not 0 < slot < MAX_SLOT_V1:
    logging.log_first_n(
      logging.WARNING, "slot %d is not in (0, %d): no fids of version 1 are made up.", 10, slot, MAX_SLOT_V1
    )
    return []
  return [slot << _V1_BITS | low for low in Draws.of(rng).bits(_V1_BITS, size)]


def gen_fids_v2(slot: int, size: int = 1, rng: Seed = None) -> List[int]:
  """`size` random fids of version 2: the slot in bits 48 to 62.

  Raises:
    ValueError: the slot is not in (0, 32768).

  >>> [fid >> 48 for fid in gen_fids_v2(300, 2)]
  [300, 300]
  """
  if not 0 < slot < MAX_SLOT_V2:
    raise ValueError(f"gen_fids_v2: slot is {slot}; fids of version 2 have slots in (0, {MAX_SLOT_V2}).")
  return [slot << _V2_BITS | low for low in Draws.of(rng).bits(_V2_BITS, size)]


@functools.singledispatch
def fill_features(feature: Any, meta: FeatureMeta, drop_rate: float = 0, rng: Seed = None) -> None:
  """Writes random values of a feature into the Feature of an Example or of an Instance.

  Sparse features get one fid of version 2. In an Example the fid of slots other than 1 and 200 is dropped with
  probability `drop_rate`. Features of several fids get 0 to 2 if drop_rate > 0: those with `_recent` or `_cp` in their
  name, in an Example those whose method is Combine or VectorTopString, in an Instance those with `-` in their name.
  `meta.shape` other than -1 is the number of fids.

  Dense features get `meta.shape` values: numbers in [0, 1), integers in [0, 10), or words. A bool counts as an integer.

  Args:
    feature: the message.
    meta: which feature it is; one with a slot is sparse.
    drop_rate: share of fids left out.
    rng: a NumPy generator or a seed.

  Raises:
    ValueError: the message is no Feature, its type cannot be made up, or the slot is none of version 2.
  """
  raise ValueError(f"fill_features: {type(feature).__name__} is no Feature of an Example or an Instance.")


@fill_features.register
def _fill_example_feature(
  feature: example_pb2.Feature, meta: FeatureMeta, drop_rate: float = 0, rng: Seed = None
) -> None:
  draws = Draws.of(rng)
  if meta.slot is not None:
    several = _is_several(meta) or getattr(meta.extra, "method", None) in _SEVERAL_METHODS
    size = _num_fids(meta, several, drop_rate, draws)
    if size == 1 and not several and _may_be_dropped(meta) and draws.happens(drop_rate):
      size = 0
    feature.fid_v2_list.SetInParent()
    feature.fid_v2_list.value.extend(gen_fids_v2(meta.slot, size, draws))
  elif meta.dtype == tf.string:
    feature.bytes_list.value.extend(text.encode() for text in draws.texts(meta.shape))
  elif meta.dtype == tf.float64:
    feature.double_list.value.extend(draws.floats(meta.shape))
  elif meta.dtype.is_floating:
    feature.float_list.value.extend(draws.floats(meta.shape))
  else:
    feature.int64_list.value.extend(_integers(meta, draws))


@fill_features.register
def _fill_instance_feature(
  feature: feature_pb2.Feature, meta: FeatureMeta, drop_rate: float = 0, rng: Seed = None
) -> None:
  draws = Draws.of(rng)
  feature.name = meta.name
  if meta.slot is not None:
    several = _is_several(meta) or "-" in meta.name
    feature.fid.extend(gen_fids_v2(meta.slot, _num_fids(meta, several, drop_rate, draws), draws))
  elif meta.dtype == tf.string:
    feature.bytes_value.extend(text.encode() for text in draws.texts(meta.shape))
  elif meta.dtype.is_floating:
    feature.float_value.extend(draws.floats(meta.shape))
  else:
    feature.int64_value.extend(_integers(meta, draws))


def num_v1_fids(slot: int, draws: Draws) -> int:
  """How many fids a slot of an Instance's flat list has: 0 to 3, the user and the item one."""
  return 1 if slot in (_USER_SLOT, _ITEM_SLOT) else draws.below(4)[0]


def _is_several(meta: FeatureMeta) -> bool:
  return "_recent" in meta.name or "_cp" in meta.name


def _num_fids(meta: FeatureMeta, several: bool, drop_rate: float, draws: Draws) -> int:
  if meta.shape > 0:
    return meta.shape
  return draws.below(3)[0] if several and drop_rate > 0 else 1


def _may_be_dropped(meta: FeatureMeta) -> bool:
  return meta.shape == -1 and meta.slot not in (_USER_SLOT, _ITEM_SLOT)


def _integers(meta: FeatureMeta, draws: Draws) -> List[int]:
  if not (meta.dtype.is_integer or meta.dtype.is_bool):
    raise ValueError(f"feature {meta.name!r} has type {meta.dtype.name}; values are floats, integers or strings.")
  return draws.below(2 if meta.dtype.is_bool else _SMALL, meta.shape)


def fill_line_id(
  line_id: line_id_pb2.LineId,
  features: Features = None,
  hash_len: int = _V2_BITS,
  actions: Optional[Sequence[int]] = None,
  rng: Seed = None,
) -> None:
  """Writes random values into a LineId.

  Always: `uid` and `item_id`, fids of slots 1 and 200; `req_time`, now; `sample_rate`, 1; one action.

  Args:
    line_id: the message; repeated fields are replaced.
    features: further fields, names or FeatureMetas; of repeated ones `shape` values.
    hash_len: bits of uid and item_id below the slot, <= 54.
    actions: what the action is drawn from; 0 to 10 by default.
    rng: a NumPy generator or a seed.

  Raises:
    ValueError: LineId has no such field.
  """
  draws = Draws.of(rng)
  user, item = draws.bits(hash_len, 2)
  line_id.uid = _USER_SLOT << hash_len | user
  line_id.item_id = _ITEM_SLOT << hash_len | item
  line_id.req_time = draws.now
  line_id.sample_rate = 1.0
  _draw_actions(line_id, 1, actions, draws)
  for meta in extra_metas(features):
    if meta.name == "actions":
      _draw_actions(line_id, max(meta.shape, 1), actions, draws)
    elif meta.name not in ("uid", "item_id", "req_time", "sample_rate"):
      _fill_field(line_id, meta, draws)


def _draw_actions(line_id: Any, size: int, actions: Optional[Sequence[int]], draws: Draws) -> None:
  del line_id.actions[:]
  choice = range(_NUM_ACTIONS) if actions is None or len(actions) == 0 else actions
  line_id.actions.extend(draws.one_of(choice) for _ in range(size))


def _fill_field(line_id: Any, meta: FeatureMeta, draws: Draws) -> None:
  field = line_id.DESCRIPTOR.fields_by_name[meta.name]
  size = max(meta.shape, 1) if field.is_repeated else 1
  values: List[Any]
  if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
    values = draws.floats(size)
  elif field.cpp_type == field.CPPTYPE_STRING:
    values = list(draws.texts(size))
  elif field.cpp_type == field.CPPTYPE_BOOL:
    values = [bool(value) for value in draws.below(2, size)]
  else:
    values = list(draws.below(_SMALL, size))
  if field.is_repeated:
    del getattr(line_id, meta.name)[:]
    getattr(line_id, meta.name).extend(values)
  else:
    setattr(line_id, meta.name, values[0])
