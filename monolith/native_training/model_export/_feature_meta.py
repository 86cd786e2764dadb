# SPDX-License-Identifier: Apache-2.0
"""What made-up data has to know of a feature: name, slot, number and type of its values."""

from __future__ import annotations

from typing import Any, Iterable, List, Optional, Sequence, Tuple, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import line_id_pb2
from monolith.native_training.data import utils

__all__ = ["FeatureMeta", "Features", "dense_metas", "extra_metas", "sparse_metas"]

_LINE_ID_FIELDS = line_id_pb2.LineId.DESCRIPTOR.fields_by_name


class FeatureMeta:
  """A feature of which values are made up.

  Args:
    name: its name.
    slot: its slot; None for dense features and fields of LineId.
    shape: values a row; -1, the default with a slot, leaves it to chance, else the default is 1.
    dtype: their type; default int64 with a slot, that of the field of LineId of this name, else float32.
    extra: the feature's entry in a feature list, whose `method` says whether it has several fids.

  Raises:
    ValueError: shape is 0 or below -1.

  >>> FeatureMeta("user", slot=3).dtype, FeatureMeta("uid").dtype, FeatureMeta("age").shape
  (tf.int64, tf.int64, 1)
  """

  def __init__(
    self,
    name: str,
    slot: Optional[int] = None,
    shape: Optional[int] = None,
    dtype: Optional[tf.DType] = None,
    extra: Any = None,
  ):
    self.name = name
    self.slot = slot
    self.shape = _default_shape(slot) if shape is None else int(shape)
    if self.shape != -1 and self.shape < 1:
      raise ValueError(f"FeatureMeta {name!r}: shape is {shape}; it must be >= 1, or -1 for any number of fids.")
    self.dtype = _default_type(name, slot) if dtype is None else tf.as_dtype(dtype)
    self.extra = extra

  def __repr__(self) -> str:
    return f"FeatureMeta({self.name!r}, slot={self.slot}, shape={self.shape}, dtype={self.dtype.name})"


Features = Optional[Iterable[Union[int, str, FeatureMeta]]]


def sparse_metas(features: Features, feature_list: Any = None) -> List[FeatureMeta]:
  """Metas of sparse features, which are slots, names, or metas.

  A slot comes from the feature list; where that lacks the name, or there is no list, from the name.

  Raises:
    ValueError: a feature has no slot.
  """
  return [_sparse_meta(feature, feature_list) for feature in features or ()]


def dense_metas(
  features: Features, shapes: Optional[Sequence[int]] = None, dtypes: Optional[Sequence[tf.DType]] = None
) -> List[FeatureMeta]:
  """Metas of dense features, which are names or metas.

  Raises:
    ValueError: shapes or dtypes are not as many as features.
  """
  return [
    feature if isinstance(feature, FeatureMeta) else FeatureMeta(feature, shape=shape, dtype=dtype or tf.float32)
    for feature, shape, dtype in _zipped("dense feature", features, shapes, dtypes)
  ]


def extra_metas(features: Features, shapes: Optional[Sequence[int]] = None) -> List[FeatureMeta]:
  """Metas of fields of LineId, which are names or metas.

  Raises:
    ValueError: LineId has no such field, or shapes are not as many as features.
  """
  metas = [
    feature if isinstance(feature, FeatureMeta) else FeatureMeta(feature, shape=shape)
    for feature, shape, _ in _zipped("extra feature", features, shapes, None)
  ]
  for meta in metas:
    if meta.name not in _LINE_ID_FIELDS:
      raise ValueError(f"extra feature {meta.name!r} is not in line id, which has {', '.join(_LINE_ID_FIELDS)}.")
  return metas


def _sparse_meta(feature: Union[int, str, FeatureMeta], feature_list: Any) -> FeatureMeta:
  if isinstance(feature, FeatureMeta) and feature.slot is not None:
    return feature
  asked = feature.name if isinstance(feature, FeatureMeta) else feature
  name, slot = utils.get_feature_name_and_slot(asked, feature_list)
  if slot is None:
    raise ValueError(
      f"sparse feature {name!r} has no slot; give a FeatureMeta with one, or a feature list that has it."
    )
  listed = feature_list.get(asked) if feature_list is not None else None
  return FeatureMeta(name, slot=slot, extra=listed)


def _zipped(
  kind: str, features: Features, shapes: Optional[Sequence[int]], dtypes: Optional[Sequence[tf.DType]]
) -> Iterable[Tuple[Any, Optional[int], Optional[tf.DType]]]:
  listed = list(features or ())
  for what, values in (("shapes", shapes), ("types", dtypes)):
    if values is not None and len(values) != len(listed):
      raise ValueError(f"{len(values)} {what} are given for {len(listed)} {kind}s; give one for each.")
  nothing = [None] * len(listed)
  return zip(listed, shapes or nothing, dtypes or nothing, strict=True)


def _default_shape(slot: Optional[int]) -> int:
  return 1 if slot is None else -1


def _default_type(name: str, slot: Optional[int]) -> tf.DType:
  field = _LINE_ID_FIELDS.get(name)
  if slot is not None:
    return tf.int64
  if field is None or field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
    return tf.float32
  return tf.string if field.cpp_type == field.CPPTYPE_STRING else tf.int64
