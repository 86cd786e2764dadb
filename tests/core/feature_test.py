# SPDX-License-Identifier: Apache-2.0
"""Slots of models over vocabularies: recording, the second run, merged slices, and what is refused."""

from monolith.core import feature
from monolith.core.feature import Env, FeatureColumnV1, FeatureSlot

import doctests
import numpy as np
import pytest
import tensorflow as tf


def _run(env, dims=(2, 3, 4)):
  """What a logits_fn does: a bias and vectors of slot 1."""
  slot = FeatureSlot(env, 1, has_bias=True)
  column = FeatureColumnV1(slot, "f")
  return [column.get_bias(), *(column.add_vector(dim) for dim in dims)]


@pytest.mark.parametrize("merge, dims", [(False, [1, 2, 3, 4]), (True, [1, 9])])
def test_two_runs(merge, dims):
  env = Env({1: 5}, {"merge_vector": merge})
  assert [t.shape[1] for t in _run(env)] == [1, 2, 3, 4]
  assert not env.is_finalized()
  env.finalize()
  assert env.is_finalized() and env.slot_to_dims == {1: dims} and env.slot_to_config[1].use_bias()
  columns = np.arange(20, dtype=np.float32).reshape(2, 10)
  parts = np.split(columns, np.cumsum(dims)[:-1], axis=1)
  env.set_features({f"slot_1_{i}": tf.constant(part) for i, part in enumerate(parts)})
  for found, expected in zip(_run(env), np.split(columns, [1, 3, 6], axis=1), strict=True):
    np.testing.assert_array_equal(found, expected)


def test_merged_slot_without_bias_and_single_vectors():
  env = Env({1: 5, 2: 5}, {"merge_vector": True})
  two, one = FeatureColumnV1(FeatureSlot(env, 1), "a"), FeatureColumnV1(FeatureSlot(env, 2, has_bias=True), "b")
  for dim in (2, 3):
    two.add_vector(dim)
  one.add_vector(4)
  env.finalize()
  assert env.slot_to_dims == {1: [5], 2: [1, 4]}


def test_defaults():
  slot = FeatureSlot(Env({1: 5}), 1, has_bias=True)
  assert slot.bias_optimizer == feature.FtrlParameters() and slot.vec_optimizer == feature.AdagradParameters()
  assert isinstance(slot.vec_initializer, tf.keras.initializers.RandomUniform)
  added = slot.add_feature_slice(3, initializer="zeros", optimizer=feature.AdamParameters())
  assert (added.dim, added.slice_index, added.initializer, added.optimizer) == (3, 1, "zeros", feature.AdamParameters())


def test_refusals():
  env = Env({1: 5, 2: 5})
  with pytest.raises(KeyError, match="slot 3 has no vocabulary size; those that have: 1, 2"):
    FeatureSlot(env, 3)
  slot = FeatureSlot(env, 1)
  with pytest.raises(ValueError, match="slot 1 is registered already"):
    FeatureSlot(env, 1)
  with pytest.raises(ValueError, match="slot 1: dim is 0; it must be > 0"):
    slot.add_feature_slice(0)
  with pytest.raises(ValueError, match="slot 1 has no bias; make it with has_bias=True"):
    FeatureColumnV1(slot, "f").get_bias()
  with pytest.raises(ValueError, match="slot 1 has no slice; add a vector, or leave the slot out"):
    env.finalize()
  with pytest.raises(ValueError, match="call finalize"):
    env.set_features({})
  part = slot.add_feature_slice(2)
  with pytest.raises(ValueError, match="column 'g' reads slot 2, but the slice belongs to slot 1"):
    FeatureColumnV1(FeatureSlot(env, 2, has_bias=True), "g").embedding_lookup(part)
  env.finalize()
  with pytest.raises(ValueError, match="slot 1: the env is finalized; add slices before"):
    slot.add_feature_slice(2)
  with pytest.raises(KeyError, match="slot 7 was not there when the env was finalized"):
    FeatureSlot(env, 7)
  with pytest.raises(ValueError, match=r"slot 1: slice 0 has dim 3, but the first time the slot's dims were \[2\]"):
    FeatureSlot(env, 1).add_feature_slice(3)
  env.set_features({})
  with pytest.raises(KeyError, match="slot_1_0 is not among the embeddings"):
    FeatureColumnV1(FeatureSlot(env, 1), "f").add_vector(2)


def test_unlike_slices_do_not_merge():
  env = Env({1: 5}, {"merge_vector": True})
  slot = FeatureSlot(env, 1)
  slot.add_feature_slice(2)
  slot.add_feature_slice(2, optimizer=feature.AdamParameters())
  with pytest.raises(ValueError, match="slot 1: slices with different optimizers or initializers cannot be merged"):
    env.finalize()


def test_examples():
  doctests.run_examples(feature)
