# SPDX-License-Identifier: Apache-2.0
"""Pairs, masks, maps and hashes of fids."""

import pytest

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf

from monolith.native_training.data import feature_utils as fu
from monolith.native_training.runtime.ops import gen_monolith_ops


def ragged(rows, splits=tf.int64):
  return tf.ragged.constant(rows, tf.int64, ragged_rank=1, row_splits_dtype=splits)


def combined(a, b, slot):
  """The twin of one pair."""
  product = (a * b) % (1 << 128)
  return slot << 48 | ((product >> 64) ^ product) & (2**48 - 1)


def test_the_pair_of_the_description():
  assert fu.feature_combine(ragged([[(1 << 48) | 100]]), ragged([[(2 << 48) | 200]]), 505).to_list() == [
    [142144871828835872]
  ]


@pytest.mark.parametrize("splits", [tf.int32, tf.int64])
def test_pairs_row_by_row(splits):
  rng = np.random.default_rng(1)
  sizes = rng.integers(0, 4, [20, 2])
  first, second = ([rng.integers(-(2**63), 2**63, n).tolist() for n in column] for column in sizes.T)
  found = fu.feature_combine(ragged(first, splits), ragged(second, tf.int64), 305)
  assert found.to_list() == [[combined(a, b, 305) for a in x for b in y] for x, y in zip(first, second, strict=True)]
  same = fu.feature_combine(ragged(first, splits), ragged(second, splits), 305)
  assert same.row_splits.dtype == splits and same.to_list() == found.to_list()
  in_function = tf.function(fu.feature_combine)(ragged(first, splits), ragged(second, splits), 305)
  assert in_function.to_list() == found.to_list()


@pytest.mark.parametrize("splits", [tf.int32, tf.int64])
def test_masks(splits):
  rows = [[1, 2, 3], [3], [], [4, 5, 6]]
  assert fu.gen_fid_mask(ragged(rows, splits), 3).numpy().tolist() == [1, 1, 0, 0]
  assert fu.gen_fid_mask(ragged([[-1], [1]], splits), 2**64 - 1).numpy().tolist() == [1, 0]
  assert fu.gen_fid_mask(ragged([], splits), 3).numpy().tolist() == []


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_maps(dtype):
  known = {123: 0, 456: 1, 789: 2}
  assert fu.map_id(tf.constant([123, 456, 789, 912], dtype), known).numpy().tolist() == [0, 1, 2, -1]
  assert fu.map_id(tf.constant([[7], [123]], dtype), known, default=5).numpy().tolist() == [[5], [0]]


def test_hashes():
  assert int(fu.extract_fid(tf.constant(185, tf.int64), slot=4)) == 1153447759131936
  assert 1153447759131936 == 4 << 48 | 0xB52C190DFBF33520 & (2**48 - 1)
  many = fu.extract_fid(tf.range(1000, dtype=tf.int64)[:, None], slot=32767).numpy()
  assert many.shape == (1000, 1) and len(set(many.ravel())) == 1000 and set(many.ravel() >> 48) == {32767}


def test_refusals():
  one, two = ragged([[1]]), ragged([[1], [2]])
  for call, error, words in (
    (lambda: fu.feature_combine(one, two, 1), tf.errors.InvalidArgumentError, "the columns have 1 and 2 rows"),
    (
      lambda: fu.feature_combine(one, one, 32768),
      tf.errors.InvalidArgumentError,
      r"FeatureCombine: slot 32768 is not in",
    ),
    (lambda: fu.extract_fid(tf.constant([1], tf.int64), -1), tf.errors.InvalidArgumentError, r"ExtractFid: slot -1 is"),
    (
      lambda: fu.feature_combine(tf.ragged.constant([[[1]]], tf.int64), one, 1),
      ValueError,
      "src1 has 2 ragged dimensions",
    ),
    (lambda: fu.gen_fid_mask(tf.ragged.constant([[[1]]], tf.int64), 1), ValueError, "ragged has 2 ragged dimensions"),
    (lambda: fu.map_id(tf.constant([1]), {2**40: 1}), tf.errors.InvalidArgumentError, "1099511627776 does not fit the"),
  ):
    with pytest.raises(error, match=words):
      call()


@pytest.mark.parametrize(
  ("splits", "words"),
  [
    ([], "are empty"),
    ([1, 2], "begin with 1"),
    ([0, 2, 1], "fall from 2 to 1"),
    ([0, 1], "end with 1, but there are 2"),
  ],
)
def test_splits_are_checked(splits, words):
  splits = tf.constant(splits, tf.int64)
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"MonolithGenFidMask: splits {words}"):
    gen_monolith_ops.monolith_gen_fid_mask(splits, [1, 2], fid=1)
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"FeatureCombine: splits1 {words}"):
    gen_monolith_ops.feature_combine(splits, [1, 2], [0], tf.constant([], tf.int64), slot=1)


def test_shapes_are_inferred():
  with tf.Graph().as_default():
    splits, fids = tf.compat.v1.placeholder(tf.int64, [5]), tf.compat.v1.placeholder(tf.int64, [None])
    assert gen_monolith_ops.monolith_gen_fid_mask(splits, fids, fid=1).shape.as_list() == [4]
    assert gen_monolith_ops.feature_combine(splits, fids, splits, fids, slot=1)[0].shape.as_list() == [5]
    with pytest.raises(ValueError, match="must be rank 1"):
      gen_monolith_ops.monolith_gen_fid_mask(fids[:, None], fids, fid=1)
    with pytest.raises(ValueError, match="must be equal"):
      gen_monolith_ops.feature_combine(splits, fids, splits[1:], fids, slot=1)
