# SPDX-License-Identifier: Apache-2.0
"""Gradient clipping that leaves its inputs as they are."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple, Union

from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

_Gradient = Union[tf.Tensor, tf.IndexedSlices, None]

tf.no_gradient("MonolithClipByGlobalNorm")


def _values(gradient: _Gradient) -> tf.Tensor:
  return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def _global_norm(t_list: Sequence[_Gradient]) -> Optional[tf.Tensor]:
  """Square root of the sum of all squares, float32 scalar; None where there is nothing to sum."""
  halves = [tf.nn.l2_loss(_values(t)) for t in t_list if t is not None]
  return tf.sqrt(2.0 * tf.add_n(halves), name="global_norm") if halves else None


def clip_by_global_norm(
  t_list: Sequence[_Gradient], clip_norm: Union[float, tf.Tensor], use_norm: Optional[tf.Tensor] = None
) -> Tuple[List[_Gradient], tf.Tensor]:
  """Scales all tensors by clip_norm / norm where their common norm exceeds clip_norm.

  Args:
    t_list: float32 tensors of any shapes, IndexedSlices, or None, which stays None.
    clip_norm: scalar, not negative.
    use_norm: scalar, the norm where the caller knows it already.

  Returns:
    The tensors and the norm, a float32 scalar. A norm that is infinite or not a number makes every
    result NaN, as in tf.clip_by_global_norm.

  Raises:
    TypeError: `t_list` is no list or tuple.
  """
  if not isinstance(t_list, (list, tuple)):
    raise TypeError(
      f"clip_by_global_norm: t_list must be a list of tensors, not "
      f"{type(t_list).__name__}; put a single tensor into a list."
    )
  present = [t for t in t_list if t is not None]
  if not present:
    return list(t_list), tf.constant(0.0) if use_norm is None else use_norm
  norm = _global_norm(present) if use_norm is None else use_norm
  clipped = iter(
    gen_monolith_ops.monolith_clip_by_global_norm(
      [_values(t) for t in present], norm, tf.convert_to_tensor(clip_norm, tf.float32)
    )
  )
  result: List[_Gradient] = []
  for t in t_list:
    if isinstance(t, tf.IndexedSlices):
      result.append(tf.IndexedSlices(next(clipped), t.indices, t.dense_shape))
    else:
      result.append(None if t is None else next(clipped))
  return result, norm
