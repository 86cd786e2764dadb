# SPDX-License-Identifier: Apache-2.0
"""Operations on columns of parsed fids."""

from __future__ import annotations

from typing import Mapping

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data._record_settings import fid_bits
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["extract_fid", "feature_combine", "gen_fid_mask", "map_id", "switch_slot"]


def switch_slot(ragged: tf.RaggedTensor, slot: int) -> tf.RaggedTensor:
  """Moves the fids of a column into another slot; their signatures stay.

  Two columns with the same meaning (the user's and the author's city) then share their embeddings, or one column gets
  embeddings of its own for another use.

  Args:
    ragged: fids of version 2, int64, of any ragged rank.
    slot: the new slot, in [0, 32768).

  Returns:
    The same shape.

  Raises:
    tf.errors.InvalidArgumentError: there is no such slot.

  >>> switch_slot(tf.ragged.constant([[(305 << 48) | 77]], dtype=tf.int64), 306).to_list() == [[(306 << 48) | 77]]
  True
  """
  fids = gen_monolith_ops.monolith_switch_slot(ragged.flat_values, slot=slot, fid_version=2)
  return ragged.with_flat_values(fids)


def feature_combine(src1: tf.RaggedTensor, src2: tf.RaggedTensor, slot: int) -> tf.RaggedTensor:
  """Pairs the fids of two columns, row by row; every pair is a fid of a slot of its own.

  The signature of a pair is the upper half of the signed 128-bit product of its fids, exclusive-or the lower half.

  Args:
    src1: fids, int64, [batch, None]. It varies slowest.
    src2: the same, with as many rows.
    slot: the slot of the pairs, in [0, 32768).

  Returns:
    Ragged int64, [batch, None]: a row of n and m fids has n * m pairs.

  Raises:
    ValueError: a column has more than one ragged dimension.
    tf.errors.InvalidArgumentError: the columns have different numbers of rows, or there is no such slot.

  >>> one, other = tf.ragged.constant([[(1 << 48) | 100]], tf.int64), tf.ragged.constant([[(2 << 48) | 200]], tf.int64)
  >>> feature_combine(one, other, 505).to_list()
  [[142144871828835872]]
  """
  for name, source in (("src1", src1), ("src2", src2)):
    if source.ragged_rank != 1:
      raise ValueError(f"{name} has {source.ragged_rank} ragged dimensions; combine columns of shape [batch, None].")
  if src1.row_splits.dtype != src2.row_splits.dtype:
    src1, src2 = src1.with_row_splits_dtype(tf.int64), src2.with_row_splits_dtype(tf.int64)
  splits, fids = gen_monolith_ops.feature_combine(src1.row_splits, src1.values, src2.row_splits, src2.values, slot=slot)
  return tf.RaggedTensor.from_row_splits(fids, splits, validate=False)


def gen_fid_mask(ragged: tf.RaggedTensor, fid: int) -> tf.Tensor:
  """Which rows of a column have a fid.

  Args:
    ragged: fids, int64, [batch, None].
    fid: the fid, in [0, 2^64) or as int64.

  Returns:
    float32, [batch]: 1 where the row has it, else 0.

  Raises:
    ValueError: the column has more than one ragged dimension, or the fid more than 64 bits.

  >>> gen_fid_mask(tf.ragged.constant([[1, 2, 3], [3], [], [4]], tf.int64), 3).numpy().tolist()
  [1.0, 1.0, 0.0, 0.0]
  """
  if ragged.ragged_rank != 1:
    raise ValueError(f"ragged has {ragged.ragged_rank} ragged dimensions; pass a column of shape [batch, None].")
  return gen_monolith_ops.monolith_gen_fid_mask(ragged.row_splits, ragged.values, fid=fid_bits([fid], "fid")[0])


def map_id(tensor: tf.Tensor, map_dict: Mapping[int, int], default: int = -1) -> tf.Tensor:
  """Looks integers up in a small map.

  Args:
    tensor: int32 or int64, any shape.
    map_dict: what stands for each.
    default: what stands for all others.

  Returns:
    The same type and shape.

  Raises:
    tf.errors.InvalidArgumentError: a number of the map does not fit the tensor's type.

  >>> map_id(tf.constant([123, 456, 789, 912]), {123: 0, 456: 1, 789: 2}).numpy().tolist()
  [0, 1, 2, -1]
  """
  return gen_monolith_ops.map_id(
    tensor,
    from_value=[int(key) for key in map_dict],
    to_value=[int(value) for value in map_dict.values()],
    default=default,
  )


def extract_fid(tensor: tf.Tensor, slot: int) -> tf.Tensor:
  """Makes fids of a slot whose signatures are hashes of other numbers.

  Args:
    tensor: int64, any shape.
    slot: the slot, in [0, 32768).

  Returns:
    int64, the same shape: the low 48 bits of CityHash64 of the number's eight bytes (least significant first), and the
    slot above them.

  Raises:
    tf.errors.InvalidArgumentError: there is no such slot.

  >>> int(extract_fid(tf.constant(185, tf.int64), slot=4))
  1153447759131936
  """
  return gen_monolith_ops.extract_fid(tensor, slot=slot)
