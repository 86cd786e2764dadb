# SPDX-License-Identifier: Apache-2.0
"""Packs dicts of tensors into few flat ones and back, so that they travel together."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

import tensorflow as tf

KeyedTensors = Dict[str, tf.Tensor]
KeyedShape = Dict[str, List[int]]


def maybe_squeeze_3d_tensor(x: Union[tf.Tensor, tf.RaggedTensor]) -> Union[tf.Tensor, tf.RaggedTensor]:
  """Drops the middle axis of a ragged [B, 1, None]; a ragged [B, None] stays as it is.

  Raises:
    ValueError: any other kind of tensor.
  """
  if isinstance(x, tf.RaggedTensor):
    if x.shape.rank == 2:
      return x
    if x.shape.rank == 3 and x.shape[1] in (1, None):
      return tf.squeeze(x, [1])
  shape = getattr(x, "shape", None)
  raise ValueError(
    f"maybe_squeeze_3d_tensor takes a RaggedTensor [B, None] or [B, 1, None], not a "
    f"{type(x).__name__} of shape {shape}."
  )


def get_keyed_shape(keyed_tensors: KeyedTensors) -> KeyedShape:
  """key -> static shape, with -1 for what is unknown.

  Raises:
    ValueError: a tensor of unknown rank, or with two unknown dimensions, could not be unpacked.
  """
  shapes = {}
  for key, tensor in keyed_tensors.items():
    if tensor.shape.rank is None or tensor.shape.as_list().count(None) > 1:
      raise ValueError(
        f"tensor {key!r} has shape {tensor.shape}; at most one dimension may be "
        f"unknown, so that it can be unpacked again."
      )
    shapes[key] = [-1 if dim is None else dim for dim in tensor.shape.as_list()]
  return shapes


def _flatten(keyed_tensors: KeyedTensors) -> Tuple[tf.Tensor, List[tf.Tensor]]:
  if not keyed_tensors:
    raise ValueError("there is no tensor to pack; leave the empty dict out.")
  dtypes = {tensor.dtype for tensor in keyed_tensors.values()}
  if len(dtypes) > 1:
    raise ValueError(
      f"tensors of several dtypes, {sorted(d.name for d in dtypes)}, do not go into "
      f"one; split them with split_tensors_with_type first."
    )
  tensors = [keyed_tensors[key] for key in sorted(keyed_tensors)]
  flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
  return flat, [tf.size(tensor, out_type=tf.int64) for tensor in tensors]


def _unflatten(shapes: KeyedShape, flat: tf.Tensor, sizes: tf.Tensor) -> KeyedTensors:
  parts = tf.split(flat, sizes, num=len(shapes))
  return {key: tf.reshape(part, shapes[key]) for key, part in zip(sorted(shapes), parts, strict=True)}


def pack_tensors(keyed_tensors: KeyedTensors) -> Tuple[tf.Tensor, tf.Tensor]:
  """Joins tensors of one dtype in sorted key order.

  Returns:
    The flat values, and int64 [keys], how many each tensor has.
  """
  flat, sizes = _flatten(keyed_tensors)
  return flat, tf.stack(sizes)


def unpack_tensors(keyed_shape: KeyedShape, packed: Sequence[tf.Tensor]) -> KeyedTensors:
  """The inverse of pack_tensors, given get_keyed_shape of the same dict."""
  return _unflatten(keyed_shape, packed[0], packed[1])


def split_tensors_with_type(keyed_tensors: KeyedTensors) -> List[KeyedTensors]:
  """One dict a dtype, sorted by the dtype's string."""
  by_type: Dict[str, KeyedTensors] = {}
  for key, tensor in keyed_tensors.items():
    by_type.setdefault(str(tensor.dtype), {})[key] = tensor
  return [by_type[name] for name in sorted(by_type)]


def merge_dicts(dicts: Sequence[Dict]) -> Dict:
  """All entries in one dict.

  Raises:
    ValueError: two dicts hold the same key.
  """
  merged: Dict = {}
  for each in dicts:
    twice = sorted(merged.keys() & each.keys())
    if twice:
      raise ValueError(f"merge_dicts: {twice} occur in more than one dict; rename them.")
    merged.update(each)
  return merged


def get_typed_keyed_shape(typed: Sequence[KeyedTensors]) -> List[KeyedShape]:
  """get_keyed_shape of every dict."""
  return [get_keyed_shape(each) for each in typed]


def pack_typed_keyed_tensors(typed: Sequence[KeyedTensors]) -> List[tf.Tensor]:
  """Joins each dict's tensors.

  Returns:
    One flat tensor a dict, then one int64 tensor: the number of keys of each dict, then the size of
    every tensor, dict by dict in sorted key order.
  """
  flats, sizes = [], []
  for each in typed:
    flat, own = _flatten(each)
    flats.append(flat)
    sizes.extend(own)
  counts = tf.constant([len(each) for each in typed], tf.int64)
  return flats + [tf.concat([counts, tf.stack(sizes)], 0)]


def unpack_packed_tensors(shapes: Sequence[KeyedShape], packed: Sequence[tf.Tensor]) -> List[KeyedTensors]:
  """The inverse of pack_typed_keyed_tensors, given get_typed_keyed_shape of the same dicts.

  Raises:
    ValueError: `packed` does not belong to `shapes`.
  """
  if len(packed) < 2 or len(packed) != len(shapes) + 1:
    raise ValueError(
      f"unpack_packed_tensors: {len(packed)} tensors for {len(shapes)} dicts; give "
      f"one flat tensor a dict and the sizes behind them."
    )
  begin, result = len(shapes), []
  for shape, flat in zip(shapes, packed[:-1], strict=True):
    result.append(_unflatten(shape, flat, packed[-1][begin : begin + len(shape)]))
    begin += len(shape)
  return result
