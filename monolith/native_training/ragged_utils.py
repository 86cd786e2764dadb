# SPDX-License-Identifier: Apache-2.0
"""What ragged tensors lack."""

from __future__ import annotations

from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

_CACHE = "_monolith_value_rowids"

tf.no_gradient("MonolithFusedValueRowids")


def fused_value_rowids(rt: tf.RaggedTensor) -> tf.Tensor:
  """The row of every value, by one op; the result is kept on the object and given again.

  Args:
    rt: [r, None] with n values.

  Returns:
    int64 [n].

  Raises:
    ValueError: `rt` is not a RaggedTensor.
  """
  if not isinstance(rt, tf.RaggedTensor):
    raise ValueError(
      f"fused_value_rowids needs a tf.RaggedTensor, not {type(rt).__name__}; tf.RaggedTensor.from_tensor makes one."
    )
  # A tensor made inside a loop or a tf.function is no good outside it.
  graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
  cached = getattr(rt, _CACHE, None)
  if cached is not None and cached[0] is graph:
    return cached[1]
  rowids = gen_monolith_ops.monolith_fused_value_rowids(tf.cast(rt.row_splits, tf.int64))
  setattr(rt, _CACHE, (graph, rowids))
  return rowids
