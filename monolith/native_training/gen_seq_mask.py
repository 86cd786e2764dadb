# SPDX-License-Identifier: Apache-2.0
"""Masks for padded sequences."""

from __future__ import annotations

from typing import Union

from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

tf.no_gradient("GenSeqMask")


def gen_seq_mask(splits: Union[tf.Tensor, tf.RaggedTensor], max_seq_length: int) -> tf.Tensor:
  """Marks the positions that each row fills.

  Args:
    splits: int32 or int64 [r + 1], row splits, or the ragged tensor itself.
    max_seq_length: width of the mask; longer rows are cut.

  Returns:
    [r, max_seq_length] of the splits' dtype: ones, then zeros.
  """
  if isinstance(splits, tf.RaggedTensor):
    splits = splits.row_splits
  return gen_monolith_ops.gen_seq_mask(splits, max_seq_length=max_seq_length)
