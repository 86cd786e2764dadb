# SPDX-License-Identifier: Apache-2.0
"""Sequence masks."""

from monolith.native_training.gen_seq_mask import gen_seq_mask

import pytest
import tensorflow as tf

EXPECTED = [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_mask(dtype):
  mask = gen_seq_mask(tf.constant([0, 5, 7, 9, 13], dtype), 6)
  assert mask.numpy().tolist() == EXPECTED and mask.dtype == dtype


def test_ragged_tensor_and_cut_rows():
  ragged = tf.RaggedTensor.from_row_splits(tf.range(13), [0, 5, 7, 9, 13])
  assert gen_seq_mask(ragged, 6).numpy().tolist() == EXPECTED
  assert gen_seq_mask(ragged, 2).numpy().tolist() == [[1, 1]] * 4


def test_static_shape_and_errors():
  with tf.Graph().as_default():
    splits = tf.compat.v1.placeholder(tf.int64, [5])
    assert gen_seq_mask(splits, 6).shape.as_list() == [4, 6]
  with pytest.raises(tf.errors.InvalidArgumentError, match="splits falls from 5 to 3"):
    gen_seq_mask(tf.constant([0, 5, 3]), 6)
