# SPDX-License-Identifier: Apache-2.0
"""Row numbers of ragged values."""

from monolith.native_training import ragged_utils

import pytest
import tensorflow as tf


def test_rowids_and_their_cache():
  rt = tf.ragged.constant([[], [1], [2, 3]])
  rowids = ragged_utils.fused_value_rowids(rt)
  assert rowids.numpy().tolist() == [1, 2, 2] and rowids.dtype == tf.int64
  assert ragged_utils.fused_value_rowids(rt) is rowids


def test_rowids_of_another_graph_are_not_reused():
  rt = tf.ragged.constant([[], [1], [2, 3]])
  ragged_utils.fused_value_rowids(rt)
  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    inner = tf.ragged.constant([[7]])
    assert sess.run(ragged_utils.fused_value_rowids(inner)).tolist() == [0]


def test_only_ragged_tensors():
  with pytest.raises(ValueError, match="needs a tf.RaggedTensor, not EagerTensor"):
    ragged_utils.fused_value_rowids(tf.constant([1]))
