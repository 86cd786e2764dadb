# SPDX-License-Identifier: Apache-2.0
"""Combiners against a loop over rows, in the three ways TensorFlow runs."""

import numpy as np
import pytest

from monolith.native_training import embedding_combiners

import tensorflow as tf  # isort: skip

_LENGTHS = [2, 0, 1, 4, 0]
_DIM = 3


def _sum(rows):
  return np.stack([r.sum(0) for r in rows])


def _mean(rows):
  return np.stack([r.sum(0) / max(len(r), 1) for r in rows])


def _first_two(rows):
  return np.stack([np.concatenate([r, np.zeros((2, _DIM))])[:2] for r in rows])


_CASES = [
  (embedding_combiners.ReduceSum, _sum),
  (embedding_combiners.ReduceMean, _mean),
  (lambda: embedding_combiners.FirstN(2), _first_two),
]


def _key(lengths=_LENGTHS):
  return tf.RaggedTensor.from_row_lengths(tf.range(sum(lengths), dtype=tf.int64), lengths)


def _embedding():
  return np.random.default_rng(0).standard_normal((sum(_LENGTHS), _DIM)).astype(np.float32)


def _rows(embedding):
  return np.split(embedding, np.cumsum(_LENGTHS)[:-1])


def _run_eagerly(combiner, embedding):
  return combiner.combine(_key(), tf.constant(embedding)).numpy()


def _run_as_function(combiner, embedding):
  function = tf.function(
    combiner.combine,
    input_signature=[tf.RaggedTensorSpec([None, None], tf.int64), tf.TensorSpec([None, _DIM], tf.float32)],
  )
  return function(_key(), tf.constant(embedding)).numpy()


def _run_in_graph(combiner, embedding):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    return session.run(combiner.combine(_key(), tf.constant(embedding)))


@pytest.mark.parametrize("run", [_run_eagerly, _run_as_function, _run_in_graph])
@pytest.mark.parametrize("make, twin", _CASES)
def test_values(run, make, twin):
  embedding = _embedding()
  np.testing.assert_allclose(run(make(), embedding), twin(_rows(embedding)), rtol=1e-6)


@pytest.mark.parametrize("make, twin", _CASES)
def test_gradients_are_those_of_the_twin(make, twin):
  embedding = _embedding()
  weights = np.random.default_rng(1).standard_normal(twin(_rows(embedding)).shape)
  with tf.GradientTape() as tape:
    variable = tf.constant(embedding)
    tape.watch(variable)
    loss = tf.reduce_sum(make().combine(_key(), variable) * weights)
  found = tape.gradient(loss, variable).numpy()
  # Every combiner is linear: the gradient is what a unit vector adds.
  expected = np.zeros_like(embedding)
  for index in np.ndindex(*embedding.shape):
    unit = np.zeros_like(embedding)
    unit[index] = 1
    expected[index] = (twin(_rows(unit)) * weights).sum()
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_published_sum():
  key = _key([1, 2])
  assert embedding_combiners.ReduceSum().combine(key, [[1.0], [2.0], [3.0]]).numpy().tolist() == [[1], [5]]


def test_published_first_n():
  found = embedding_combiners.FirstN(2).combine(_key([1, 2, 3]), [[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]])
  assert found.numpy().tolist() == [[[1], [0]], [[2], [3]], [[4], [5]]]


def test_static_shapes_in_a_graph():
  with tf.Graph().as_default():
    key = tf.compat.v1.ragged.placeholder(tf.int64, 1)
    embedding = tf.compat.v1.placeholder(tf.float32, [None, 6])
    assert embedding_combiners.FirstN(2).combine(key, embedding).shape.as_list() == [None, 2, 6]
    assert embedding_combiners.ReduceSum().combine(key, embedding).shape.as_list() == [None, 6]
    fixed = tf.RaggedTensor.from_row_splits(tf.compat.v1.placeholder(tf.int64, [None]), tf.zeros([5], tf.int64))
    assert embedding_combiners.ReduceMean().combine(fixed, embedding).shape.as_list() == [4, 6]
    assert embedding_combiners.FirstN(2).combine(fixed, embedding).shape.as_list() == [4, 2, 6]


def test_no_rows_and_no_fids():
  empty = tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int64), tf.zeros([1], tf.int64))
  for make, _ in _CASES:
    assert make().combine(empty, tf.zeros([0, _DIM])).shape[0] == 0


@pytest.mark.parametrize("make, _", _CASES)
def test_half_precision_stays(make, _):
  assert make().combine(_key([1]), tf.ones([1, _DIM], tf.float16)).dtype == tf.float16


def test_lengths_and_texts():
  assert [make().max_seq_length for make, _ in _CASES] == [0, 0, 2]
  assert [str(make()) for make, _ in _CASES] == ["ReduceSum()", "ReduceMean()", "FirstN(2)"]


def test_wrong_calls_are_refused():
  with pytest.raises(ValueError, match="FirstN: seq_length is 0; it must be > 0"):
    embedding_combiners.FirstN(0)
  with pytest.raises(ValueError, match=r"ReduceSum: key is \w+; pass fids as a tf.RaggedTensor"):
    embedding_combiners.ReduceSum().combine(tf.zeros([1, 1]), tf.zeros([1, 1]))
  with pytest.raises(ValueError, match=r"ReduceMean: embedding is \(1,\); pass \[n, D\]"):
    embedding_combiners.ReduceMean().combine(_key([1]), tf.zeros([1]))
  with tf.Graph().as_default(), pytest.raises(ValueError, match="FirstN: embedding is .* must be known"):
    embedding_combiners.FirstN(1).combine(_key([1]), tf.compat.v1.placeholder(tf.float32, [None, None]))
