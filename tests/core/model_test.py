# SPDX-License-Identifier: Apache-2.0
"""Models over vocabularies: tables, sizes, input pipelines."""

import logging

from monolith.core import feature
from monolith.core.feature import FeatureColumnV1, FeatureSlot
from monolith.core.model import FeatureConfig, Model, TableConfig

import numpy as np
import pytest
import tensorflow as tf


class _Model(Model):
  """Slot 1 with a bias and two vectors, slot 2 with one vector."""

  def __init__(self, params, optimizer=None):
    self.optimizer = optimizer
    self.input_map: dict = {}
    self.total: list = []
    super().__init__(params)

  def _get_feature_map(self):
    return {"slot_1_0": tf.io.VarLenFeature(tf.int64), "slot_2_0": tf.io.RaggedFeature(tf.int64)}

  def logits_fn(self):
    columns = {
      1: FeatureColumnV1(FeatureSlot(self.env, 1, has_bias=True, default_vec_optimizer=self.optimizer), "a"),
      2: FeatureColumnV1(FeatureSlot(self.env, 2), "b"),
    }
    self.input_map, self.total = {}, []
    pooled = self.sum_pooling(columns, self.input_map, [1, 2], 4, self.total)
    alone = self.sum_pooling(columns, self.input_map, [1], 4, self.total, add_into_embeddings=False)
    return tf.reduce_sum(pooled + alone, 1, keepdims=True) + columns[1].get_bias()


@pytest.fixture
def params(tmp_path):
  path = tmp_path / "vocab.tsv"
  path.write_text("slot\tcount\n1\t10\n2\t200\n3\t7\n")
  return {"vocab_file_path": str(path)}


def test_vocabularies(params):
  assert _Model(params).env.vocab_size_dict == {1: 10, 2: 200, 3: 7}
  assert _Model({**params, "vocab_size_per_slot": 50}).env.vocab_size_dict == {1: 50, 2: 50, 3: 50}


def test_a_damaged_vocabulary_names_its_line(params, tmp_path):
  (tmp_path / "bad.tsv").write_text("1\t10\n2\tmany\n")
  with pytest.raises(ValueError, match="bad.tsv:2: '2\\\\tmany' is not a slot, a tab and a number of ids"):
    _Model({"vocab_file_path": str(tmp_path / "bad.tsv")})


def test_tables(params):
  model = _Model(params)
  assert model.env.is_finalized() and model.env.slot_to_dims == {1: [1, 4, 4], 2: [4]}
  features, tables = model.create_feature_and_table_config_dict()
  names = ["1_0", "1_1", "1_2", "2_0"]
  assert features == {f"slot_{n}": FeatureConfig(f"table_{n}") for n in names} and list(tables) == [
    f"table_{n}" for n in names
  ]
  slot = model.env.slot_to_config[1]
  assert tables["table_1_0"] == TableConfig(10, 1, slot.bias_initializer, "sum", feature.FtrlParameters())
  assert tables["table_1_2"] == TableConfig(10, 4, slot.vec_initializer, "sum", feature.AdagradParameters())
  assert (tables["table_2_0"].vocabulary_size, tables["table_2_0"].dimension) == (200, 4)
  merged = _Model({**params, "merge_vector": True}).create_feature_and_table_config_dict()[1]
  assert {name: t.dimension for name, t in merged.items()} == {"table_1_0": 1, "table_1_1": 8, "table_2_0": 4}


def test_sizes_are_logged(params, caplog):
  with caplog.at_level(logging.INFO, logger="absl"):
    _Model({**params, "vocab_size_per_slot": 2**20}).create_feature_and_table_config_dict()
  # 13 floats an id; 32 with widths rounded up; three times that with Ftrl's state.
  expected = "0.051 GiB, 0.125 GiB with widths rounded up to 8, 0.375 GiB with optimizer state"
  assert expected in caplog.text


def test_slot_numbers(params):
  model = _Model(params)
  numbers = [
    model._get_slot_number(optimizer, accumulate)
    for optimizer in (
      feature.FtrlParameters(), feature.AdagradParameters(), feature.AdamParameters(),
      feature.StochasticGradientDescentParameters(),
    )
    for accumulate in (False, True)
  ]  # fmt: skip
  assert numbers == [3, 4, 2, 3, 3, 4, 1, 2]
  with pytest.raises(ValueError, match="optimizer object is not known here; use one whose name starts with Ftrl"):
    model._get_slot_number(object(), False)
  assert model._get_max_slot_number() == 3
  assert _Model({**params, "use_gradient_accumulation": True})._get_max_slot_number() == 4
  assert [model._padding_8(n) for n in (1, 8, 9, 16)] == [8, 8, 16, 16]


def test_second_run_reads_embeddings(params):
  model = _Model(params)
  values = {name: np.full((3, dim), value, np.float32) for name, dim, value in (
    ("slot_1_0", 1, 100), ("slot_1_1", 4, 1), ("slot_1_2", 4, 10), ("slot_2_0", 4, 2)
  )}  # fmt: skip
  model.env.set_features(values)
  np.testing.assert_array_equal(model.logits_fn(), np.full((3, 1), 100 + 4 * (1 + 2 + 10)))
  assert list(model.input_map) == ["slot_1_4", "slot_2_4", "slot_1_4_1"] and len(model.total) == 2


def test_pooling_of_nothing(params):
  with pytest.raises(ValueError, match="features is empty; name at least one slot"):
    _Model(params).sum_pooling({}, {}, [], 4, [])


def _example(*ids):
  feature_of = lambda values: tf.train.Feature(int64_list=tf.train.Int64List(value=values))  # noqa: E731
  features = {"slot_1_0": feature_of(ids), "slot_2_0": feature_of([i + 100 for i in ids])}
  return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


class _Context:
  def __init__(self, index, count):
    self._shard = (index, count)

  def current_input_fn_deployment(self):
    return (None, *self._shard, None)


@pytest.fixture
def files(tmp_path):
  for i in range(4):
    with tf.io.TFRecordWriter(str(tmp_path / f"part-{i}")) as writer:
      for j in range(3):
        writer.write(_example(100 * i + j))
  return str(tmp_path / "part-*")


def _first_ids(dataset):
  return sorted(int(i) for batch in dataset for i in batch["slot_1_0"].values.numpy())


def test_input(params, files):
  model = _Model({**params, "vocab_size_per_slot": 50})
  batches = list(model.create_input_fn(files, repeat=False)({"batch_size": 4, "num_parallel_calls": 2}))
  assert len(batches) == 3 and set(batches[0]) == {"slot_1_0", "slot_1_1", "slot_1_2", "slot_2_0"}
  for batch in batches:
    ids = batch["slot_1_0"].values.numpy()
    assert ids.shape == (4,) and ids.max() < 50
    np.testing.assert_array_equal(batch["slot_1_2"].values, ids)
    np.testing.assert_array_equal(batch["slot_2_0"].flat_values, ids)


def test_ids_stay_without_a_fixed_vocabulary(params, files):
  found = _first_ids(_Model(params).create_input_fn(files, repeat=False)({"batch_size": 1}))
  assert found == [100 * i + j for i in range(4) for j in range(3)]


def test_last_batch_is_dropped_and_repeats(params, files):
  model = _Model(params)
  assert len(list(model.create_input_fn(files, repeat=False)({"batch_size": 5, "cycle_length": 2}))) == 2
  assert len(list(model.create_input_fn(files)({"batch_size": 5}).take(7))) == 7


@pytest.mark.parametrize("skip, expected", [(None, [1, 3]), ([0, 1], [3])])
def test_shards_and_files_left_out(params, files, skip, expected):
  settings = {"batch_size": 1, "context": _Context(1, 2)}
  if skip is not None:
    settings["shard_skip_file_number"] = skip
  found = _first_ids(_Model(params).create_input_fn(files, repeat=False)(settings))
  assert found == [100 * i + j for i in expected for j in range(3)]


def test_ids_of_every_slot_are_needed(params):
  with pytest.raises(KeyError, match="slot_1_0 is not among the parsed features"):
    _Model(params)._post_process_example({})


def test_dense_ids_are_taken_modulo_the_vocabulary(params):
  model = _Model({**params, "vocab_size_per_slot": 50})
  found = model._post_process_example({"slot_1_0": tf.constant([[51, -1]]), "slot_2_0": tf.constant([[3]])})
  np.testing.assert_array_equal(found["slot_1_1"], [[1, 49]])


def test_what_a_subclass_must_define(params):
  with pytest.raises(NotImplementedError, match="Model does not define logits_fn"):
    Model(params)
  with pytest.raises(NotImplementedError, match="_Model does not define create_model_fn"):
    _Model(params).create_model_fn()


def test_tables_need_a_finalized_env(params, monkeypatch):
  monkeypatch.setattr(_Model, "init_slot_to_dims", lambda self: None)
  with pytest.raises(ValueError, match=r"call init_slot_to_dims\(\) first"):
    _Model(params).create_feature_and_table_config_dict()
