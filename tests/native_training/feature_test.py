# SPDX-License-Identifier: Apache-2.0
"""Tests of slots, slices, columns, and the two passes over a model."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import embedding_combiners, entry, feature, learning_rate_functions
from monolith.native_training.model_export import export_context

import tensorflow as tf  # isort: skip


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    yield


def _slot(factory=None, **kwargs):
  factory = feature.DummyFeatureFactory(4) if factory is None else factory
  return factory.create_feature_slot(feature.FeatureSlotConfig(**{"name": "slot", **kwargs}))


class TestSlots:
  def test_config_defaults(self):
    config = feature.FeatureSlotConfig(slot_id=7)
    assert (config.name, config.expire_time, config.occurrence_threshold) == ("7", 36500, 0)
    with pytest.raises(ValueError, match="neither name nor slot_id"):
      feature.FeatureSlotConfig()
    with pytest.raises(ValueError, match="expire_time is -1"):
      feature.FeatureSlotConfig(name="s", expire_time=-1)

  def test_slices_follow_each_other_and_the_bias_comes_first(self):
    slot = _slot(has_bias=True)
    slices = [slot.get_bias_slice(), slot.add_feature_slice(3), slot.add_feature_slice(2)]
    assert [(s.start, s.end, s.dim) for s in slices] == [(0, 1, 1), (1, 4, 3), (4, 6, 2)]
    assert all(s.feature_slot is slot for s in slices)

  def test_slot_number(self):
    assert _slot(slot_id=5).slot == 5
    assert _slot(name="12").slot == 12
    with pytest.raises(ValueError, match="slot 'slot' has no number"):
      _ = _slot().slot

  def test_mistakes_are_named(self):
    factory = feature.DummyFeatureFactory(4)
    one, two = _slot(factory, name="one"), _slot(factory, name="two")
    with pytest.raises(ValueError, match="'one' has no bias"):
      one.get_bias_slice()
    with pytest.raises(ValueError, match="dim_size is 0"):
      one.add_feature_slice(0)
    column = feature.FeatureColumn(one, "f")
    with pytest.raises(ValueError, match="draws on slot 'one', but .*two.* is of slot 'two'"):
      column.embedding_lookup(two.add_feature_slice(1))
    with pytest.raises(NameError, match="slot 'one' is created twice"):
      _slot(factory, name="one")

  def test_size_tensor(self):
    column = feature.FeatureColumn(_slot(), "f", feature.FeatureColumn.first_n(3))
    assert column.get_size_tensor() is None
    column.set_size_tensor(tf.constant([0, 2, 5]))
    with tf.compat.v1.Session() as session:
      np.testing.assert_array_equal(session.run(column.get_size_tensor()), [[0, 0, 0], [1, 1, 0], [1, 1, 1]])
    with pytest.raises(ValueError, match="only FirstN has a size tensor"):
      feature.FeatureColumn(_slot(), "g").set_size_tensor(tf.constant([1]))

  def test_factory_without_update_says_so(self):
    with pytest.raises(NotImplementedError, match="applies no gradients"):
      feature.FeatureFactoryFromEmbeddings({}, {}).apply_gradients([])


class TestCollectPass:
  def test_lookups_have_the_right_shapes(self):
    slot = _slot(has_bias=True)
    vec = slot.add_feature_slice(5)
    column = feature.FeatureColumn(slot, "feature")
    assert column.embedding_lookup(vec).shape == [4, 5]
    assert column.get_bias().shape == [4, 1]
    assert column.get_all_embeddings_concat().shape.as_list() == [None, 6]
    sequence = feature.FeatureColumn(slot, "sequence", feature.FeatureColumn.first_n(10))
    assert sequence.embedding_lookup(vec).shape == [4, 10, 5]
    assert slot.get_feature_columns() == [column, sequence]

  def test_op_names_tell_combiner_feature_and_columns(self):
    slot = _slot()
    vec = slot.add_feature_slice(5)
    feature.FeatureColumn(slot, "f").embedding_lookup(vec)
    names = [op.name for op in tf.compat.v1.get_default_graph().get_operations()]
    assert any(name.startswith("ReduceSum_f_0_5") for name in names)

  def test_adjacent_slices_that_differ_in_width_only_are_merged(self):
    factory = feature.DummyFeatureFactory(4)
    slot = _slot(factory)
    slot.add_feature_slice(5, optimizer=entry.AdagradOptimizer(0.1, warmup_steps=10))
    for _ in range(2):
      slot.add_feature_slice(
        2,
        optimizer=entry.SgdOptimizer(0.1),
        learning_rate_fn=learning_rate_functions.PolynomialDecay(0.01, 20, 0.05),
      )
    slot.add_feature_slice(2, optimizer=entry.SgdOptimizer(0.1))
    feature.FeatureColumn(slot, "f")
    config = factory.get_table_name_to_table_config()["slot"]
    assert [s.segment.dim_size for s in config.slice_configs] == [5, 4, 2]
    assert config.unmerged_slice_dims == [5, 2, 2, 2]
    rates = [s.learning_rate_fn for s in config.slice_configs]
    assert isinstance(rates[0], learning_rate_functions.LearningRateFunction)
    assert rates[2] == pytest.approx(0.1)
    # Merging again starts from the same slices.
    again = factory.get_table_name_to_table_config()["slot"]
    assert [s.segment.dim_size for s in again.slice_configs] == [5, 4, 2]

  def test_thresholds_and_expire_times(self):
    factory = feature.DummyFeatureFactory(4)
    _slot(factory, slot_id=2021, occurrence_threshold=3, expire_time=9).add_feature_slice(1)
    assert factory.slot_to_occurrence_threshold == {2021: 3}
    assert factory.slot_to_expire_time == {2021: 9}

  def test_slot_without_slices_is_named(self):
    factory = feature.DummyFeatureFactory(4)
    _slot(factory)
    with pytest.raises(RuntimeError, match="slot 'slot' has no slices"):
      factory.get_table_name_to_table_config()


def _slices(combiner, rows, splits, dims, exporting=False):
  embeddings = tf.constant(rows, tf.float32)
  fids = tf.RaggedTensor.from_row_splits(tf.range(len(rows), dtype=tf.int64), splits)
  mode = export_context.enter_export_mode(export_context.ExportMode.STANDALONE)
  if exporting:
    mode.__enter__()
  try:
    slices = feature.create_embedding_slices({"f": embeddings}, {"f": fids}, {"f": combiner}, {"f": dims})
  finally:
    if exporting:
      mode.__exit__(None, None, None)
  with tf.compat.v1.Session() as session:
    return session.run(slices)


class TestEmbeddingSlices:
  @pytest.mark.parametrize("exporting", [False, True])
  @pytest.mark.parametrize(
    "rows, splits, first, second",
    [
      ([[1, 4], [2, 3]], [0, 1, 2], [[1], [2]], [[4], [3]]),
      ([[1, 2], [2, 3], [3, 5]], [0, 1, 1, 3], [[1], [0], [5]], [[2], [0], [8]]),
    ],
  )
  def test_sum(self, exporting, rows, splits, first, second):
    slices = _slices(embedding_combiners.ReduceSum(), rows, splits, [1, 1], exporting)
    np.testing.assert_array_equal(slices["f:0_1"], first)
    np.testing.assert_array_equal(slices["f:1_2"], second)

  @pytest.mark.parametrize(
    "rows, splits, first",
    [
      ([[1, 2], [3, 4], [5, 6], [7, 8]], [0, 2, 4], [[[1], [3]], [[5], [7]]]),
      (
        [[1, 2], [2, 3], [3, 5], [10, 11]],
        [0, 1, 1, 4],
        [[[1], [0]], [[0], [0]], [[2], [3]]],
      ),
    ],
  )
  def test_first_n(self, rows, splits, first):
    slices = _slices(embedding_combiners.FirstN(2), rows, splits, [1, 1])
    np.testing.assert_array_equal(slices["f:0_1"], first)

  def test_mean_of_an_empty_row_is_zero(self):
    slices = _slices(embedding_combiners.ReduceMean(), [[2.0], [4.0]], [0, 2, 2], [1])
    np.testing.assert_array_equal(slices["f:0_1"], [[3.0], [0.0]])

  def test_gradient_reaches_every_fid(self):
    embeddings = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    fids = tf.RaggedTensor.from_row_splits(tf.constant([1, 1], tf.int64), [0, 2])
    slices = feature.create_embedding_slices(
      {"f": embeddings}, {"f": fids}, {"f": embedding_combiners.ReduceSum()}, {"f": [1, 1]}
    )
    (grad,) = tf.gradients(3.0 * slices["f:0_1"] + slices["f:1_2"], embeddings)
    with tf.compat.v1.Session() as session:
      np.testing.assert_array_equal(session.run(grad), [[3.0, 1.0], [3.0, 1.0]])

  def test_wrong_widths_are_named(self):
    with pytest.raises(ValueError, match="slices .* have 3 columns, its embedding has 2"):
      _slices(embedding_combiners.ReduceSum(), [[1, 2]], [0, 1], [1, 2])


class TestRealPass:
  def test_answers_by_feature_and_columns(self):
    whole, first = tf.zeros([3, 2]), tf.zeros([2, 2])
    factory = feature.FeatureFactoryFromEmbeddings({"f": whole}, {"f:0_2": first})
    slot = _slot(factory)
    vec = slot.add_feature_slice(2)
    column = feature.FeatureColumn(slot, "f")
    assert column.embedding_lookup(vec) is first
    assert column.get_all_embeddings_concat() is whole

  def test_what_the_first_pass_did_not_meet_is_named(self):
    slot = _slot(feature.FeatureFactoryFromEmbeddings({}, {"g:0_1": tf.zeros([1])}))
    vec = slot.add_feature_slice(2)
    with pytest.raises(KeyError, match="met no embedding 'f:0_2'; it met .*g:0_1"):
      feature.FeatureColumn(slot, "f").embedding_lookup(vec)
