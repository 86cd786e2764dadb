# SPDX-License-Identifier: Apache-2.0
"""A dataset that knows its last element."""

import pytest

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data.datasets import CacheOneDataset
from monolith.native_training.runtime.ops import gen_monolith_ops


def read(dataset):
  return [(x.numpy().tolist(), bool(last)) for x, last in CacheOneDataset(dataset)]


def test_the_last_element_is_told():
  assert read(tf.data.Dataset.from_tensor_slices([1, 2])) == [(1, False), (2, True)]
  assert read(tf.data.Dataset.from_tensors([7])) == [([7], True)]
  assert read(tf.data.Dataset.from_tensors(1).take(0)) == []
  repeated = CacheOneDataset(tf.data.Dataset.range(2)).repeat(2)
  assert [bool(last) for _, last in repeated] == [False, True, False, True]


def test_structures_stay():
  ragged = tf.ragged.constant([[1], [2, 3]])
  dataset = CacheOneDataset(tf.data.Dataset.from_tensor_slices({"a": ragged, "b": [1.0, 2.0]}))
  assert dataset.element_spec[1] == tf.TensorSpec([], tf.bool)
  elements = list(dataset.batch(2))
  assert elements[0][0]["a"].to_list() == [[1], [2, 3]] and elements[0][1].numpy().tolist() == [False, True]


def test_in_a_session():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    iterator = tf.compat.v1.data.make_one_shot_iterator(CacheOneDataset(tf.data.Dataset.range(2)))
    element = iterator.get_next()
    assert [session.run(element) for _ in range(2)] == [(0, False), (1, True)]
    with pytest.raises(tf.errors.OutOfRangeError):
      session.run(element)


def test_errors_come_after_what_was_before_them():
  bad = tf.data.Dataset.range(3).map(lambda i: tf.debugging.check_numerics(1.0 / tf.cast(1 - i, tf.float32), "bad"))
  iterator = iter(CacheOneDataset(bad))
  assert [v.numpy() for v in next(iterator)] == [1.0, False]
  with pytest.raises(tf.errors.InvalidArgumentError, match="bad"):
    next(iterator)


def test_refusals(tmp_path):
  iterator = iter(CacheOneDataset(tf.data.Dataset.range(2)))
  with pytest.raises(tf.errors.UnimplementedError, match="an iterator of CacheOneDataset cannot be saved"):
    tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "ckpt"))
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 0"):
    variant = tf.data.Dataset.range(2)._variant_tensor
    gen_monolith_ops.monolith_cache_one_dataset(tf.stack([variant] * 2), output_types=[tf.int64], output_shapes=[[]])
