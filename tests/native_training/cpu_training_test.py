# SPDX-License-Identifier: Apache-2.0
"""Tests of training with tables in one process."""

from __future__ import annotations

import dataclasses
import os
import re
import signal

import numpy as np
import pytest

from monolith.native_training import cpu_training, entry, feature, native_task, save_utils, tf_estimator
from monolith.native_training.cpu_training import CpuTrainingConfig

import tensorflow as tf  # isort: skip

ModeKeys = tf_estimator.ModeKeys
_SYNC = {"enable_embedding_prefetch": False, "enable_embedding_postpush": False}


def _ragged(rows):
  return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


class _Task(native_task.NativeTask):
  """One feature with fids [[0, 0]], one slice, and a loss whose gradient with respect to each vector is 1."""

  rows = [[0, 0]]
  slot_kwargs: dict = {}
  combiner = None
  dim = 5
  num_elements = 1

  def create_input_fn(self, mode):
    def input_fn():
      batch = {"feature": _ragged(self.rows), "dense": tf.ones([len(self.rows), 1])}
      return tf.data.Dataset.from_tensors(batch).repeat(self.num_elements)

    return input_fn

  def create_model_fn(self):
    def model_fn(features, mode, config):
      del config
      config_kwargs = {"name": "slot", "slot_id": 2021, **self.slot_kwargs}
      slot = self.ctx.create_feature_slot(feature.FeatureSlotConfig(**config_kwargs))
      vec = slot.add_feature_slice(self.dim, entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor())
      column = feature.FeatureColumn(slot, "feature", self.combiner)
      embedding = column.embedding_lookup(vec)
      if mode == ModeKeys.PREDICT:
        return tf_estimator.EstimatorSpec(mode, predictions=embedding)
      loss = tf.reduce_sum(embedding) + tf.reduce_sum(features["dense"])
      all_embeddings = column.get_all_embeddings_concat()
      grads = tf.gradients(loss, all_embeddings)
      step = tf.compat.v1.train.get_global_step()
      with tf.control_dependencies([self.ctx.apply_embedding_gradients(zip(grads, [all_embeddings], strict=True))]):
        train_op = step.assign_add(1)
      return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return model_fn


def _predict(task_class, model_dir, num_ps=0, **kwargs):
  from monolith.native_training._local_training import LocalTraining

  with LocalTraining(task_class.params(), CpuTrainingConfig(num_ps=num_ps), str(model_dir)) as local:
    return np.array(list(local.predict(**kwargs)))


@pytest.mark.parametrize("num_ps", [0, 2])
def test_repeated_fid_takes_one_step_with_summed_gradients(tmp_path, num_ps):
  class Repeated(_Task):
    rows = [[0, 0], [7]]

  cpu_training.local_train(Repeated.params(), num_ps=num_ps, model_dir=tmp_path, steps=1, **_SYNC)
  # Row 0 pools fid 0 twice; its vector is -2 after one step with the gradient 1 + 1.
  np.testing.assert_allclose(_predict(Repeated, tmp_path, num_ps), [[-4.0] * 5, [-1.0] * 5])


def test_repeated_fid_under_adagrad(tmp_path):
  class Adagrad(_Task):
    dim = 1

    def create_model_fn(self):
      def model_fn(features, mode, config):
        slot = self.ctx.create_feature_slot(feature.FeatureSlotConfig(name="slot"))
        vec = slot.add_feature_slice(
          1,
          entry.ZerosInitializer(),
          entry.AdagradOptimizer(0.1, initial_accumulator_value=1.0),
          entry.Fp32Compressor(),
        )
        column = feature.FeatureColumn(slot, "feature", feature.FeatureColumn.reduce_mean())
        if mode == ModeKeys.PREDICT:
          return tf_estimator.EstimatorSpec(mode, predictions=column.embedding_lookup(vec))
        grads = [tf.constant([[1.0], [2.0]])]
        update = self.ctx.apply_embedding_gradients(zip(grads, [column.get_all_embeddings_concat()], strict=True))
        with tf.control_dependencies([update]):
          train_op = tf.compat.v1.train.get_global_step().assign_add(1)
        return tf_estimator.EstimatorSpec(mode, loss=tf.constant(0.0), train_op=train_op)

      return model_fn

  cpu_training.local_train(Adagrad.params(), model_dir=tmp_path, steps=1, **_SYNC)
  np.testing.assert_allclose(_predict(Adagrad, tmp_path), [[-0.0948683]], rtol=1e-5)


@pytest.mark.parametrize("num_ps", [0, 2])
def test_default_local_train_overlaps_and_applies_every_gradient(tmp_path, num_ps):
  class Endless(_Task):
    rows = [[3]]
    num_elements = None

  cpu_training.local_train(Endless.params(), num_ps=num_ps, model_dir=tmp_path, steps=12)

  class Once(Endless):
    num_elements = 1

  np.testing.assert_allclose(_predict(Once, tmp_path, num_ps), [[-12.0] * 5])


def test_end_of_input_with_prefetch_trains_everything(tmp_path):
  class Six(_Task):
    rows = [[3]]
    num_elements = 6

  cpu_training.local_train(Six.params(), model_dir=tmp_path, steps=None)

  class Once(Six):
    num_elements = 1

  np.testing.assert_allclose(_predict(Once, tmp_path), [[-6.0] * 5])
  assert save_utils.latest_checkpoint(str(tmp_path)).endswith("-6")


def test_sequence_feature(tmp_path):
  class Sequence(_Task):
    rows = [[1, 2], [], [3, 4, 5]]
    combiner = feature.FeatureColumn.first_n(2)
    dim = 1

  cpu_training.local_train(Sequence.params(), model_dir=tmp_path, steps=1, **_SYNC)
  result = _predict(Sequence, tmp_path)
  np.testing.assert_allclose(result, [[[-1.0], [-1.0]], [[0.0], [0.0]], [[-1.0], [-1.0]]])


def test_features_that_share_a_slot_share_vectors_and_one_step(tmp_path):
  class Shared(native_task.NativeTask):
    def create_input_fn(self, mode):
      def input_fn():
        return tf.data.Dataset.from_tensors({"a": _ragged([[1]]), "b": _ragged([[1, 2]])})

      return input_fn

    def create_model_fn(self):
      def model_fn(features, mode, config):
        slot = self.ctx.create_feature_slot(feature.FeatureSlotConfig(name="shared"))
        vec = slot.add_feature_slice(
          1,
          entry.ZerosInitializer(),
          entry.AdagradOptimizer(0.1, initial_accumulator_value=1.0),
          entry.Fp32Compressor(),
        )
        columns = [feature.FeatureColumn(slot, name) for name in "ab"]
        embeddings = [column.embedding_lookup(vec) for column in columns]
        if mode == ModeKeys.PREDICT:
          return tf_estimator.EstimatorSpec(mode, predictions=tf.concat(embeddings, axis=1))
        targets = [column.get_all_embeddings_concat() for column in columns]
        loss = embeddings[0][0, 0] + 2.0 * embeddings[1][0, 0]
        update = self.ctx.apply_embedding_gradients(zip(tf.gradients(loss, targets), targets, strict=True))
        with tf.control_dependencies([update]):
          train_op = tf.compat.v1.train.get_global_step().assign_add(1)
        return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

      return model_fn

  cpu_training.local_train(Shared.params(), model_dir=tmp_path, steps=1, **_SYNC)
  # Fid 1: one Adagrad step with gradient 1 + 2; fid 2: one with 2.
  first, second = -0.1 * 3 / np.sqrt(10.0), -0.1 * 2 / np.sqrt(5.0)
  np.testing.assert_allclose(_predict(Shared, tmp_path), [[first, first + second]], rtol=1e-5)
  training = cpu_training.CpuTraining(CpuTrainingConfig(), Shared.params().instantiate())
  assert list(training.feature_configs.table_to_config) == ["shared"]


def test_lone_feature_s_table_bears_its_own_name():
  training = cpu_training.CpuTraining(CpuTrainingConfig(), _Task.params().instantiate())
  assert training.feature_configs.feature_to_table == {"feature": "feature"}
  assert training.config.model_name == "di_name__Task"


def test_collect_pass_records_thresholds_expire_times_and_capacity():
  class Thresholds(_Task):
    slot_kwargs = {"occurrence_threshold": 3, "expire_time": 2}

  config = CpuTrainingConfig(hashtable_init_capacity=128)
  configs = cpu_training.CpuTraining(config, Thresholds.params().instantiate()).feature_configs
  assert configs.slot_to_occurrence_threshold == {2021: 3}
  assert configs.slot_to_expire_time == {2021: 2}
  proto = configs.table_to_config["feature"].table_config
  assert proto.initial_capacity == 128
  assert [(t.slot, t.expire_time) for t in proto.slot_expire_time_config.slot_expire_times] == [(2021, 2)]


_RESUME = {**_SYNC, "remove_model_dir_if_exists": False}


class _Filtered(_Task):
  """A slot with threshold 3: fid 5 of it twice in a row, and fid 6 of a slot without threshold."""

  rows = [[(2021 << 48) + 5, (2021 << 48) + 5], [(1 << 48) + 6]]
  slot_kwargs = {"occurrence_threshold": 3}
  dim = 1
  num_elements = None


class _FilteredOnce(_Filtered):
  num_elements = 1


@pytest.mark.parametrize("num_ps", [0, 2])
def test_occurrence_threshold_drops_the_first_steps(tmp_path, num_ps):
  for steps, applied in ((3, 0), (4, 1)):
    model_dir = tmp_path / str(steps)
    cpu_training.local_train(_Filtered.params(), num_ps=num_ps, model_dir=model_dir, steps=steps, **_SYNC)
    # A step counts fid 5 once; from the fourth on, both its occurrences give their gradient 1.
    np.testing.assert_allclose(_predict(_FilteredOnce, model_dir, num_ps), [[-4.0 * applied], [-1.0 * steps]])


@pytest.mark.parametrize("num_ps", [0, 2])
def test_occurrence_counts_survive_a_resume(tmp_path, num_ps):
  for _ in range(2):
    cpu_training.local_train(_Filtered.params(), num_ps=num_ps, model_dir=tmp_path, steps=2, **_RESUME)
  np.testing.assert_allclose(_predict(_FilteredOnce, tmp_path, num_ps), [[-4.0], [-4.0]])
  files = {name.split("-")[0] for name in os.listdir(tmp_path / "model.ckpt-4.assets") if "hash_filter" in name}
  assert files == {f"hash_filter_{i}" for i in range(max(num_ps, 1))}


def test_threshold_may_be_added_to_a_trained_model(tmp_path):
  cpu_training.local_train(_Task.params(), model_dir=tmp_path, steps=1, **_SYNC)

  class Later(_Task):
    rows = [[0], [(2021 << 48) + 5]]
    slot_kwargs = {"occurrence_threshold": 3}
    num_elements = None

  class LaterOnce(Later):
    num_elements = 1

  cpu_training.local_train(Later.params(), model_dir=tmp_path, steps=3, **_RESUME)
  # Fid 0 keeps its entry; the new fid was only counted.
  np.testing.assert_allclose(_predict(LaterOnce, tmp_path), [[-5.0] * 5, [0.0] * 5])


def test_threshold_that_no_count_reaches_is_refused(tmp_path):
  class TooHigh(_Task):
    slot_kwargs = {"occurrence_threshold": 16}

  with pytest.raises(tf.errors.InvalidArgumentError, match="slot 2021 is 16, but the sliding filter counts to 15"):
    cpu_training.local_train(TooHigh.params(), model_dir=tmp_path, steps=1, **_SYNC)


@pytest.mark.parametrize("filter_type", ["probabilistic_filter", "no_filter"])
def test_filters_without_counts_add_no_files(tmp_path, filter_type):
  config = CpuTrainingConfig(filter_type=filter_type)
  for _ in range(2):
    cpu_training.local_train_internal(_Filtered.params(), config, str(tmp_path), steps=2)
  assert not [name for name in os.listdir(tmp_path / "model.ckpt-4.assets") if "filter" in name]
  seen = _predict(_FilteredOnce, tmp_path)
  assert seen[1] == [-4.0]
  if filter_type == "no_filter":
    assert seen[0] == [-16.0]


def test_expired_entries_are_left_out_of_checkpoints(tmp_path):
  class Expiring(_Task):
    num_elements = 1

    def create_input_fn(self, mode):
      def input_fn():
        fids = [[(slot << 48) + i for i in (0, 1)] for slot in (1, 2)]
        batch = {"f1": _ragged([fids[0]]), "f2": _ragged([fids[1]]), "req_time": tf.constant([100], tf.int64)}
        return tf.data.Dataset.from_tensors(batch)

      return input_fn

    def create_model_fn(self):
      def model_fn(features, mode, config):
        columns, slices = [], []
        for slot_id, days in ((1, 0), (2, 1)):
          slot = self.ctx.create_feature_slot(
            feature.FeatureSlotConfig(name=str(slot_id), slot_id=slot_id, expire_time=days)
          )
          slices.append(
            slot.add_feature_slice(1, entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor())
          )
          columns.append(feature.FeatureColumn(slot, f"f{slot_id}"))
        embeddings = [c.embedding_lookup(s) for c, s in zip(columns, slices, strict=True)]
        if mode == ModeKeys.PREDICT:
          return tf_estimator.EstimatorSpec(mode, predictions=tf.concat(embeddings, axis=1))
        loss = tf.add_n([tf.reduce_sum(e) for e in embeddings])
        targets = [c.get_all_embeddings_concat() for c in columns]
        update = self.ctx.apply_embedding_gradients(zip(tf.gradients(loss, targets), targets, strict=True))
        with tf.control_dependencies([update]):
          train_op = tf.compat.v1.train.get_global_step().assign_add(1)
        return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

      return model_fn

  cpu_training.local_train(Expiring.params(), model_dir=tmp_path, steps=1, **_SYNC)
  np.testing.assert_allclose(_predict(Expiring, tmp_path), [[0.0, -2.0]])


def test_model_without_embeddings_keeps_its_own_functions(tmp_path):
  class Dense(native_task.NativeTask):
    def create_input_fn(self, mode):
      return lambda: tf.data.Dataset.from_tensors({"x": tf.ones([2])}).repeat()

    def create_model_fn(self):
      def model_fn(features, mode, config):
        w = tf.compat.v1.get_variable("w", [], initializer=tf.compat.v1.zeros_initializer())
        loss = tf.reduce_sum(features["x"] * w)
        with tf.control_dependencies([w.assign_add(1.0)]):
          train_op = tf.compat.v1.train.get_global_step().assign_add(1)
        return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

      return model_fn

  estimator = cpu_training.local_train(Dense.params(), model_dir=tmp_path, steps=4)
  assert estimator.get_variable_value("w") == 4.0


def test_resumes_tables_and_step(tmp_path):
  class Endless(_Task):
    rows = [[3]]
    num_elements = None

  for _ in range(2):
    estimator = cpu_training.local_train(
      Endless.params(), model_dir=tmp_path, steps=5, remove_model_dir_if_exists=False
    )

  class Once(Endless):
    num_elements = 1

  assert estimator.get_variable_value("global_step") == 10
  np.testing.assert_allclose(_predict(Once, tmp_path), [[-10.0] * 5])
  cpu_training.local_train(Endless.params(), model_dir=tmp_path, steps=2)
  np.testing.assert_allclose(_predict(Once, tmp_path), [[-2.0] * 5])


@pytest.mark.parametrize("before, after", [(0, 2), (2, 0), (2, 3)])
def test_resumes_with_another_number_of_parameter_servers(tmp_path, before, after):
  class Many(_Task):
    rows = [[i] for i in range(-5, 6)]
    num_elements = None

  for num_ps in (before, after):
    cpu_training.local_train(
      Many.params(), num_ps=num_ps, model_dir=tmp_path, steps=3, remove_model_dir_if_exists=False
    )

  class Once(Many):
    num_elements = 1

  np.testing.assert_allclose(_predict(Once, tmp_path, after), np.full([11, 5], -6.0))


def test_prediction_of_an_older_checkpoint_reads_its_tables(tmp_path):
  class Endless(_Task):
    rows = [[3]]
    num_elements = None

  cpu_training.local_train(Endless.params(), model_dir=tmp_path, steps=4, save_checkpoints_steps=2)

  class Once(Endless):
    num_elements = 1

  older = str(tmp_path / "model.ckpt-2")
  np.testing.assert_allclose(_predict(Once, tmp_path, checkpoint_path=older), [[-2.0] * 5])


class _Trained:
  """A trained model in a directory, and its table file."""

  def __init__(self, model_dir):
    cpu_training.local_train(_Task.params(), model_dir=model_dir, steps=1, **_SYNC)
    self.assets = model_dir / "model.ckpt-1.assets"
    self.table_file = self.assets / "MonolithMultiHashTable_-00000-of-00001"


def test_missing_table_directory_is_named(tmp_path):
  trained = _Trained(tmp_path)
  tf.io.gfile.rmtree(str(trained.assets))
  with pytest.raises(ValueError, match="model.ckpt-1.assets/ does not exist"):
    _predict(_Task, tmp_path)


def test_missing_table_file_is_named(tmp_path):
  trained = _Trained(tmp_path)
  os.remove(trained.table_file)
  with pytest.raises((ValueError, tf.errors.OpError), match="MonolithMultiHashTable_"):
    _predict(_Task, tmp_path)


def test_truncated_table_file_is_named(tmp_path):
  trained = _Trained(tmp_path)
  with open(trained.table_file, "r+b") as file:
    file.truncate(os.path.getsize(trained.table_file) - 3)
  with pytest.raises(tf.errors.OpError, match="MonolithMultiHashTable_-00000-of-00001"):
    _predict(_Task, tmp_path)


def test_leftovers_of_a_killed_save_are_neither_loaded_nor_kept(tmp_path):
  class Endless(_Task):
    rows = [[3]]
    num_elements = None

  cpu_training.local_train(Endless.params(), model_dir=tmp_path, steps=2, **_SYNC)
  # As if a run had been killed while saving step 4, with more shards than a later save writes.
  orphan = tmp_path / "model.ckpt-4.assets"
  orphan.mkdir()
  for name in ("MonolithMultiHashTable_-00000-of-00002", "MonolithMultiHashTable_-00001-of-00002-tmp-7"):
    (orphan / name).write_bytes(b"torn")
  cpu_training.local_train(Endless.params(), model_dir=tmp_path, steps=2, remove_model_dir_if_exists=False, **_SYNC)

  class Once(Endless):
    num_elements = 1

  np.testing.assert_allclose(_predict(Once, tmp_path), [[-4.0] * 5])
  assert not any("00002" in name for name in os.listdir(orphan))


def test_pruning_removes_tables_too(tmp_path):
  class Endless(_Task):
    num_elements = None

  config = CpuTrainingConfig(save_checkpoints_steps=1, checkpoints_max_to_keep=2)
  cpu_training.local_train_internal(Endless.params(), config, str(tmp_path), steps=4)
  kept = sorted(name for name in os.listdir(tmp_path) if name.endswith(".assets"))
  assert kept == ["model.ckpt-3.assets", "model.ckpt-4.assets"]


def test_dense_only_checkpoints(tmp_path):
  class Endless(_Task):
    num_elements = None

  config = CpuTrainingConfig(dense_only_save_checkpoints_steps=10)
  cpu_training.local_train_internal(Endless.params(), config, str(tmp_path), steps=25)
  names = os.listdir(tmp_path / "dense_only")
  assert "model.ckpt-10.index" in names and "model.ckpt-20.index" in names
  assert not any(name.endswith(".assets") for name in names)
  assert save_utils.latest_checkpoint(str(tmp_path)).endswith("model.ckpt-25")


def test_feature_eviction_on_save_trains(tmp_path):
  class Endless(_Task):
    num_elements = None

  config = CpuTrainingConfig(feature_eviction_on_save=True, save_checkpoints_steps=2)
  cpu_training.local_train_internal(Endless.params(), config, str(tmp_path), steps=5)
  assert save_utils.latest_checkpoint(str(tmp_path)).endswith("-5")


def test_sigterm_saves_tables_and_dense(tmp_path):
  class Endless(_Task):
    rows = [[3]]
    num_elements = None

  class Killer(tf.compat.v1.train.SessionRunHook):
    runs = 0

    def after_run(self, run_context, run_values):
      self.runs += 1
      if self.runs == 3:
        signal.raise_signal(signal.SIGTERM)

  estimator = cpu_training.local_train_internal(
    Endless.params(), CpuTrainingConfig(), str(tmp_path), steps=100, user_hooks=[Killer()]
  )
  assert estimator.stop_signal == signal.SIGTERM

  class Once(Endless):
    num_elements = 1

  np.testing.assert_allclose(_predict(Once, tmp_path), [[-3.0] * 5])


def test_large_get_variables_are_partitioned_and_small_ones_are_not(tmp_path):
  seen = {}

  class Partitioned(_Task):
    def create_model_fn(self):
      inner = super().create_model_fn()

      def model_fn(features, mode, config):
        zeros = tf.compat.v1.zeros_initializer()
        seen["large"] = tf.compat.v1.get_variable("large", [1280, 512], initializer=zeros)
        seen["small"] = tf.compat.v1.get_variable("small", [4], initializer=zeros)
        return inner(features, mode, config)

      return model_fn

  cpu_training.local_train(Partitioned.params(), model_dir=tmp_path, steps=1, **_SYNC)
  assert len(list(seen["large"])) == 20
  assert isinstance(seen["small"], tf.Variable)
  names = dict(tf.train.list_variables(str(tmp_path)))
  assert names["large"] == [1280, 512]


@pytest.mark.parametrize("kind", ["keras", "variable", "partitioned"])
def test_large_dense_variables_train_under_optimizers_with_slots(tmp_path, kind):
  class Large(_Task):
    num_elements = 2

    def create_model_fn(self):
      inner = super().create_model_fn()

      def model_fn(features, mode, config):
        ones = tf.ones([1, 300])
        if kind == "keras":
          out = tf.keras.layers.Dense(400, kernel_initializer="zeros", use_bias=False)(ones)
        elif kind == "variable":
          out = ones @ tf.compat.v1.Variable(tf.zeros([300, 400]), name="w")
        else:
          w = tf.compat.v1.get_variable("w", [300, 400], initializer=tf.compat.v1.zeros_initializer())
          out = ones @ tf.convert_to_tensor(w)
        spec = inner(features, mode, config)
        optimizer = tf.compat.v1.train.AdagradOptimizer(1.0, initial_accumulator_value=1.0)
        update = optimizer.minimize(tf.reduce_sum(out))
        return spec._replace(train_op=tf.group(spec.train_op, update))

      return model_fn

  cpu_training.local_train(Large.params(), model_dir=tmp_path, steps=2, **_SYNC)
  reader = tf.train.load_checkpoint(save_utils.latest_checkpoint(str(tmp_path)))
  shapes = reader.get_variable_to_shape_map()
  (name,) = (n for n, shape in shapes.items() if shape == [300, 400] and "Adagrad" not in n)
  # Gradient 1 twice: accumulators 2 and 3.
  np.testing.assert_allclose(reader.get_tensor(name), -(1 / np.sqrt(2) + 1 / np.sqrt(3)), rtol=1e-5)


def test_unwritable_model_dir_fails_before_user_code(tmp_path):
  blocker = tmp_path / "file"
  blocker.write_text("")

  class Exploding(_Task):
    def create_input_fn(self, mode):
      raise AssertionError("user code ran")

  with pytest.raises(ValueError, match="cannot be written"):
    cpu_training.local_train(Exploding.params(), model_dir=blocker / "model", steps=1)


def test_missing_and_misshapen_features_are_named(tmp_path):
  class Lost(_Task):
    def create_input_fn(self, mode):
      return lambda: tf.data.Dataset.from_tensors({"dense": tf.ones([1, 1])})

  with pytest.raises(KeyError, match="feature 'feature', which the input lacks"):
    cpu_training.local_train(Lost.params(), model_dir=tmp_path, steps=1)

  class Dense(_Task):
    def create_input_fn(self, mode):
      batch = {"feature": tf.ones([1, 1], tf.int64), "dense": tf.ones([1, 1])}
      return lambda: tf.data.Dataset.from_tensors(batch)

  with pytest.raises(ValueError, match="an embedding feature is a ragged int64 tensor"):
    cpu_training.local_train(Dense.params(), model_dir=tmp_path, steps=1)


def test_table_name_collisions_are_named():
  class Colliding(_Task):
    def create_model_fn(self):
      def model_fn(features, mode, config):
        for slot_name, names in (("feature", ["a", "b"]), ("other", ["feature"])):
          slot = self.ctx.create_feature_slot(feature.FeatureSlotConfig(name=slot_name))
          slot.add_feature_slice(1)
          for name in names:
            feature.FeatureColumn(slot, name)
        return tf_estimator.EstimatorSpec(mode, loss=tf.constant(0.0), train_op=tf.no_op())

      return model_fn

  with pytest.raises(ValueError, match="two tables would be called 'feature'"):
    cpu_training.CpuTraining(CpuTrainingConfig(), Colliding.params().instantiate())


@pytest.mark.parametrize(
  "field, value, reason",
  [
    ("num_workers", 2, "it concerns jobs of several worker processes, which cpu_training.local_train does not start"),
    ("index", 1, "it concerns jobs of several worker processes"),
    ("enable_sync_training", True, "synchronous training needs several processes under MPI"),
    (
      "profile_with_nvprof_from_to",
      "1,2",
      "tables and training are on the CPU; profile_some_steps_from profiles those",
    ),
    ("use_dataservice", True, "a data service is not built"),
    ("enable_realtime_training", True, "online servers of parameters are not built"),
    ("mode", "eval", "set params.mode, or call evaluate or predict"),
    ("only_feature_engineering", True, "cpu_training.local_train takes it"),
    ("cluster_type", "x", "tag of a metrics service"),
  ],
)
def test_what_cannot_be_is_refused_with_its_reason(field, value, reason):
  config = CpuTrainingConfig(**{field: value})
  with pytest.raises(ValueError, match=f"CpuTrainingConfig.{field}=.* is not supported: .*{reason}.*leave it at its"):
    cpu_training.CpuTraining(config, _Task.params().instantiate())


def test_every_setting_works_or_has_a_reason():
  from monolith.native_training import _training_config as config

  names = {field.name for field in dataclasses.fields(cpu_training.DistributedCpuTrainingConfig)}
  assert config._SUPPORTED <= names
  assert names - config._SUPPORTED == names & set(config._REASONS)
  assert not config._SUPPORTED & set(config._REASONS)
  # The text of a setting says the same.
  for cls in (CpuTrainingConfig, cpu_training.DistributedCpuTrainingConfig):
    for name, text in re.findall(r":param (\w+):((?:(?!:param).)*)", cls.__doc__, re.DOTALL):
      if name not in ("server_type", "mode", "use_native_multi_hash_table"):
        assert ("Refused." in text) == (name not in config._SUPPORTED), name


def test_contradictory_settings_are_refused():
  task = _Task.params().instantiate()
  with pytest.raises(ValueError, match="server_type is 'ps'"):
    cpu_training.CpuTraining(CpuTrainingConfig(server_type="ps"), task)
  with pytest.raises(ValueError, match="both given"):
    cpu_training.CpuTraining(CpuTrainingConfig(save_checkpoints_steps=1, save_checkpoints_secs=1), task)
  with pytest.raises(ValueError, match="num_ps is -1"):
    cpu_training.CpuTraining(CpuTrainingConfig(num_ps=-1), task)
  for name in ("enable_fused_layout", "enable_model_ckpt_info"):
    with pytest.raises(ValueError, match=f"{name} needs tables in one op"):
      cpu_training.CpuTraining(CpuTrainingConfig(use_native_multi_hash_table=False, **{name: True}), task)
  with pytest.raises(AttributeError, match="distributed_train is not supported yet"):
    _ = cpu_training.distributed_train


def test_a_training_goes_on_with_the_kind_of_tables_of_its_checkpoints(tmp_path):
  for kind, native in (("CUCKOO_HASH_MAP", False), ("MULTI_CUCKOO_HASH_MAP", True)):
    (tmp_path / "monolith_checkpoint").write_text(f"builtin_hash_table_type: {kind}")
    config = CpuTrainingConfig()
    cpu_training.make_config_backward_compatible(str(tmp_path), config)
    assert config.use_native_multi_hash_table is native
    with pytest.raises(
      ValueError, match=f"hold tables of kind {kind}, but use_native_multi_hash_table is {not native}"
    ):
      cpu_training.make_config_backward_compatible(
        str(tmp_path), CpuTrainingConfig(use_native_multi_hash_table=not native)
      )
  (tmp_path / "monolith_checkpoint").write_text('exempt_model_checkpoint_paths: "model.ckpt-1"')
  cpu_training.make_config_backward_compatible(str(tmp_path), CpuTrainingConfig())


def test_get_req_time():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    assert cpu_training.get_req_time({}) is None
    assert session.run(cpu_training.get_req_time({"req_time": tf.constant([[7], [8]])})) == 7


def test_is_chief():
  assert cpu_training.is_chief(CpuTrainingConfig())
  assert not cpu_training.is_chief(CpuTrainingConfig(index=1))
  assert not cpu_training.is_chief(CpuTrainingConfig(server_type="ps"))


class _Numbered(_Task):
  """Fids 0 to 5, one a step, each trained once by a pass over the data."""

  dim = 1

  def create_input_fn(self, mode):
    def input_fn():
      dataset = tf.data.Dataset.range(6).map(lambda i: tf.RaggedTensor.from_row_lengths([i], [1]))
      dataset = dataset.map(lambda fids: {"feature": fids, "dense": tf.ones([1, 1])})
      return dataset.ragged_batch(6).map(_all_in_one) if mode == ModeKeys.PREDICT else dataset

    return input_fn


def _all_in_one(batch):
  return {"feature": batch["feature"].merge_dims(0, 1), "dense": tf.ones([6, 1])}


def test_resume_goes_on_in_the_input_and_the_end_of_it_starts_afresh(tmp_path, caplog):
  def seen():
    return _predict(_Numbered, tmp_path).ravel().tolist()

  for steps, expected in (
    (2, [-1, -1, 0, 0, 0, 0]),
    (1, [-1, -1, -1, 0, 0, 0]),
    (None, [-1] * 6),
    (2, [-2, -2] + [-1] * 4),
  ):
    cpu_training.local_train(_Numbered.params(), model_dir=tmp_path, steps=steps, **_RESUME)
    assert seen() == expected
  # Stopped at the very end: the next run finds nothing to train, says so, and the one after it starts afresh.
  for steps, expected in ((4, [-2] * 6), (2, [-2] * 6), (2, [-3, -3] + [-2] * 4)):
    cpu_training.local_train(_Numbered.params(), model_dir=tmp_path, steps=steps, **_RESUME)
    assert seen() == expected
  assert sum("An earlier run had used the input up" in message for message in caplog.messages) == 1


def test_resume_may_use_another_input(tmp_path):
  cpu_training.local_train(_Numbered.params(), model_dir=tmp_path, steps=2, **_RESUME)

  class Other(_Numbered):
    def create_input_fn(self, mode):
      if mode == ModeKeys.PREDICT:
        return super().create_input_fn(mode)
      return _Task.create_input_fn(self, mode)

  cpu_training.local_train(Other.params(), model_dir=tmp_path, steps=1, **_RESUME)
  assert _predict(_Numbered, tmp_path).ravel().tolist() == [-3, -1, 0, 0, 0, 0]
