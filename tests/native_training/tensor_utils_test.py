# SPDX-License-Identifier: Apache-2.0
"""Packing dicts of tensors, squeezing ragged ones."""

from monolith.native_training import tensor_utils

import numpy as np
import pytest
import tensorflow as tf


def test_pack_and_unpack():
  tensors = {"y": tf.constant([[4, 5], [6, 7]]), "x": tf.constant([1, 2])}
  flat, sizes = tensor_utils.pack_tensors(tensors)
  assert flat.numpy().tolist() == [1, 2, 4, 5, 6, 7]
  assert sizes.numpy().tolist() == [2, 4] and sizes.dtype == tf.int64
  back = tensor_utils.unpack_tensors(tensor_utils.get_keyed_shape(tensors), (flat, sizes))
  assert {k: v.numpy().tolist() for k, v in back.items()} == {"x": [1, 2], "y": [[4, 5], [6, 7]]}


def test_unknown_rows_unpack_in_a_graph():
  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    rows = tf.compat.v1.placeholder(tf.float32, [None, 2])
    tensors = {"a": rows, "b": tf.constant([9.0])}
    shape = tensor_utils.get_keyed_shape(tensors)
    assert shape == {"a": [-1, 2], "b": [1]}
    back = sess.run(tensor_utils.unpack_tensors(shape, tensor_utils.pack_tensors(tensors)), {rows: np.ones([3, 2])})
  assert back["a"].shape == (3, 2) and back["b"].tolist() == [9]


def test_pack_typed_keyed_tensors():
  typed = [
    {"t1": tf.ones([2, 4]), "t2": tf.ones([4])},
    {"t4": tf.ones([2, 2], tf.float64), "t3": tf.ones([2], tf.float64)},
    {"t5": tf.ones([7], tf.int64)},
  ]
  packed = tensor_utils.pack_typed_keyed_tensors(typed)
  assert packed[-1].numpy().tolist() == [2, 2, 1, 8, 4, 2, 4, 7]
  back = tensor_utils.unpack_packed_tensors(tensor_utils.get_typed_keyed_shape(typed), packed)
  for before, after in zip(typed, back, strict=True):
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}


def test_split_by_type_and_merge():
  tensors = {"i": tf.ones([1], tf.int64), "f": tf.ones([1]), "d": tf.ones([1], tf.float64), "g": tf.ones([1])}
  split = tensor_utils.split_tensors_with_type(tensors)
  assert [sorted(each) for each in split] == [["f", "g"], ["d"], ["i"]]
  assert sorted(tensor_utils.merge_dicts(split)) == ["d", "f", "g", "i"]


def test_errors():
  with pytest.raises(ValueError, match="'a'.* occur in more than one dict"):
    tensor_utils.merge_dicts([{"a": 1}, {"a": 2}])
  with pytest.raises(ValueError, match="1 tensors for 1 dicts"):
    tensor_utils.unpack_packed_tensors([{"a": [1]}], [tf.ones([1])])
  with pytest.raises(ValueError, match="several dtypes"):
    tensor_utils.pack_tensors({"a": tf.ones([1]), "b": tf.ones([1], tf.int64)})
  with pytest.raises(ValueError, match="no tensor to pack"):
    tensor_utils.pack_tensors({})
  with tf.Graph().as_default(), pytest.raises(ValueError, match="at most one dimension"):
    tensor_utils.get_keyed_shape({"a": tf.compat.v1.placeholder(tf.float32, [None, None])})


def test_maybe_squeeze_3d_tensor():
  two = tf.ragged.constant([[1, 2], []], tf.int64)
  assert tensor_utils.maybe_squeeze_3d_tensor(two) is two
  three = tf.RaggedTensor.from_uniform_row_length(two, 1)
  assert three.shape.as_list() == [2, 1, None]
  assert tensor_utils.maybe_squeeze_3d_tensor(three).to_list() == [[1, 2], []]
  with pytest.raises(ValueError, match=r"not a EagerTensor of shape \(2, 2\)"):
    tensor_utils.maybe_squeeze_3d_tensor(tf.ones([2, 2]))
