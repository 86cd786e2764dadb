# SPDX-License-Identifier: Apache-2.0
"""Training with combined lookups against training fid by fid: the same losses, norms and tables."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import event_files

from monolith.native_training import cpu_training, embedding_combiners, entry, native_model, tf_estimator
from monolith.native_training._combined_step import why_not_combined
from monolith.native_training._local_training import LocalTraining
from monolith.native_training._watched_features import WatchedFeatures
from monolith.native_training.cpu_training import CpuTrainingConfig

import tensorflow as tf  # isort: skip

ModeKeys = tf_estimator.ModeKeys
_BATCH, _STEPS, _VOCABULARY, _NEGATIVE = 16, 12, 20, 10


def _rows(random, longest):
  lengths = random.integers(0, longest + 1, _BATCH)
  values = tf.constant(random.integers(-_NEGATIVE, _VOCABULARY, lengths.sum()), tf.int64)
  return tf.RaggedTensor.from_row_lengths(values, lengths)


def _batch(random):
  features = {name: _rows(random, 4) for name in ("tags", "genres", "history", "watched", "unused")}
  features["user"] = tf.RaggedTensor.from_row_lengths(
    tf.constant(random.integers(0, _VOCABULARY, _BATCH), tf.int64), [1] * _BATCH
  )
  features["label"] = tf.constant(random.integers(0, 2, _BATCH), tf.float32)
  return features


class _Model(native_model.MonolithModel):
  """Pooled and sequence features, a shared slot, slices that go to several lookups, and a column nobody trains."""

  def input_fn(self, mode):
    random = np.random.default_rng(1)
    batches = [_batch(random) for _ in range(_STEPS)]
    result = tf.data.Dataset.from_tensors(batches[0])
    for batch in batches[1:]:
      result = result.concatenate(tf.data.Dataset.from_tensors(batch))
    return result

  def serving_input_receiver_fn(self):
    raise NotImplementedError

  def model_fn(self, features, mode):
    columns = {
      "user": self.create_embedding_feature_column("user", occurrence_threshold=0),
      "tags": self.create_embedding_feature_column("tags"),
      "genres": self.create_embedding_feature_column("genres", combiner="reduce_mean"),
      "history": self.create_embedding_feature_column("history", max_seq_length=3),
      "watched": self.create_embedding_feature_column("watched", shared_name="tags", combiner="reduce_mean"),
      "unused": self.create_embedding_feature_column("unused"),
    }
    adagrad = entry.AdagradOptimizer(0.2, initial_accumulator_value=0.1)
    uniform = entry.RandomUniformInitializer(-0.3, 0.3)
    pooled = [columns[name] for name in ("watched", "user", "tags", "genres")]
    bias = self.lookup_embedding_slice(
      pooled, "bias", 1, entry.ZerosInitializer(), entry.AdamOptimizer(0.1), out_type="concat"
    )
    deep = self.lookup_embedding_slice(pooled, "deep", 4, uniform, adagrad, out_type="concat")
    first = self.lookup_embedding_slice(pooled[:2], "deep", 4, uniform, adagrad)
    added = self.lookup_embedding_slice([pooled[:2], pooled[2:]], "deep", 4, uniform, adagrad, out_type="add_n")
    history = self.lookup_embedding_slice([columns["history"]], "deep", 4, uniform, entry.FtrlOptimizer(0.1))[0]
    nobody = self.lookup_embedding_slice([columns["unused"]], "deep", 4, uniform, adagrad)[0]
    logits = (
      tf.reduce_sum(bias, 1)
      + tf.reduce_sum(tf.sin(3 * deep), 1)
      + tf.reduce_sum(first[0] * first[1], 1)
      + tf.reduce_sum(added, 1)
      + tf.reduce_sum(tf.cos(history), [1, 2])
      + 0 * tf.reduce_sum(tf.stop_gradient(nobody), 1)
    )
    w = tf.compat.v1.get_variable("w", initializer=2.0)
    pred = tf.sigmoid(w * logits)
    loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(features["label"], w * logits))
    self._default_dense_optimizer = tf.compat.v1.train.AdagradOptimizer(0.1)
    return _spec(features["label"], pred, loss)


def _spec(label, pred, loss):
  return native_model.EstimatorSpec(label=label, pred=pred, loss=loss, head_name="head")


class _Watch(tf.compat.v1.train.SessionRunHook):
  """Keeps each step's loss and gradient norm, and which ops the graph has."""

  def __init__(self):
    self.norms, self.op_types, self.on_servers, self.messages = [], set(), 0, 0

  def begin(self):
    graph = tf.compat.v1.get_default_graph()
    operations = graph.get_operations()
    self.op_types = {op.type for op in operations}
    self.on_servers = sum("/job:ps" in op.device for op in operations)
    ends = {"MonolithDealFids", "MonolithMultiHashTableLookup", "MonolithCombineDealtGradient"}
    self.messages = len(
      {
        (value.name, reader.device)
        for op in operations
        for value in op.outputs
        for reader in value.consumers()
        if op.type in ends and op.device.split("/device")[0] != reader.device.split("/device")[0]
      }
    )
    self._norm = next(
      (
        op.inputs[1]
        for op in graph.get_operations()
        if op.type == "ScalarSummary" and "global_gradient_norm" in op.name
      ),
      tf.constant(0.0),
    )

  def before_run(self, run_context):
    return tf.compat.v1.train.SessionRunArgs(self._norm)

  def after_run(self, run_context, run_values):
    self.norms.append(run_values.results)

  @property
  def combined(self):
    ops = {"MonolithMultiHashTableCombinedOptimize", "MonolithCombineDealtGradient"}
    return bool(ops & self.op_types)


def _train(model, model_dir, **settings):
  watch = _Watch()
  config = CpuTrainingConfig(save_summary_steps=1, **settings)
  cpu_training.local_train_internal(model, config, str(model_dir), steps=None, user_hooks=[watch])
  return watch


def _model(clip_norm=1000.0, model_class=_Model):
  params = model_class.params()
  params.clip_norm = clip_norm
  return params.instantiate()


@pytest.mark.slow
@pytest.mark.parametrize("clip_norm, num_ps", [(None, 0), (1000.0, 0), (1.5, 0), (None, 1), (1.5, 3)])
def test_combined_lookups_train_as_single_ones(tmp_path, clip_norm, num_ps):
  watches = {}
  for fuse in (True, False):
    settings = {"fuse_lookups": fuse, "num_ps": num_ps if fuse else 0}
    watches[fuse] = _train(_model(clip_norm), tmp_path / str(fuse), **settings)
    assert watches[fuse].combined == fuse
  losses = event_files.losses(tmp_path / "True")
  assert len(losses) == _STEPS
  np.testing.assert_allclose(losses, event_files.losses(tmp_path / "False"), rtol=1e-5)
  np.testing.assert_allclose(watches[True].norms, watches[False].norms, rtol=1e-5)
  if clip_norm == 1.5:
    assert min(watches[True].norms) > clip_norm, "the case clips nothing"


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_the_tables_that_both_write_hold_the_same_fids(tmp_path, num_ps):
  for fuse in (True, False):
    _train(_model(), tmp_path / str(fuse), fuse_lookups=fuse, enable_model_ckpt_info=True, num_ps=num_ps)
  texts = [(tmp_path / name / f"ckpt.info-{_STEPS}").read_text() for name in ("True", "False")]
  assert texts[0] == texts[1] and "tags" in texts[0]


@pytest.mark.slow
@pytest.mark.parametrize("num_ps, capacity", [(0, 2), (2, 2), (2, 0)])
def test_prefetch_and_postpush_lose_no_step(tmp_path, num_ps, capacity):
  class Counting(_Model):
    def input_fn(self, mode):
      batch = {"user": tf.ragged.constant([[3], [3, 4]], tf.int64), "label": tf.zeros([2])}
      return tf.data.Dataset.from_tensors(batch).repeat(_STEPS if mode == ModeKeys.TRAIN else 1)

    def model_fn(self, features, mode):
      embedding = self.lookup_embedding_slice(
        ["user"], "vec", 2, entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor(), out_type="concat"
      )
      self._default_dense_optimizer = tf.compat.v1.train.GradientDescentOptimizer(1.0)
      return _spec(features["label"], tf.reduce_sum(embedding, 1), tf.reduce_sum(embedding))

  overlapping = {"embedding_prefetch_capacity": capacity, "enable_embedding_postpush": True, "num_ps": num_ps}
  watch = _train(_model(None, Counting), tmp_path, **overlapping)
  assert watch.combined
  # The reader has another number of servers, or none.
  with LocalTraining(_model(None, Counting), CpuTrainingConfig(), str(tmp_path)) as local:
    predictions = np.array(
      [float(np.ravel(list(p.values())[0] if isinstance(p, dict) else p)[0]) for p in local.predict()]
    )
  # Fid 3 comes twice a step, fid 4 once, with gradient 1 in both columns.
  np.testing.assert_allclose(predictions, [-2 * 2 * _STEPS, -2 * 3 * _STEPS])


@pytest.mark.slow
def test_the_number_of_ops_between_worker_and_servers_does_not_grow_with_features(tmp_path):
  class Many(_Model):
    count = 2

    def input_fn(self, mode):
      features = {f"f{i}": tf.ragged.constant([[3], [3, 4]], tf.int64) for i in range(self.count)}
      return tf.data.Dataset.from_tensors({**features, "label": tf.zeros([2])})

    def model_fn(self, features, mode):
      names = [f"f{i}" for i in range(self.count)]
      adagrad = entry.AdagradOptimizer(0.2, initial_accumulator_value=0.1)
      embedding = self.lookup_embedding_slice(names, "vec", 2, entry.ZerosInitializer(), adagrad, out_type="concat")
      self._default_dense_optimizer = tf.compat.v1.train.GradientDescentOptimizer(1.0)
      return _spec(features["label"], tf.reduce_sum(embedding, 1), tf.reduce_sum(embedding))

  counts = []
  for Many.count in (2, 9):
    watch = _train(_model(1000.0, Many), tmp_path / str(Many.count), num_ps=2)
    counts.append((watch.on_servers, watch.messages))
  assert counts[0] == counts[1]
  # Two servers: fids, rows and gradients.
  assert counts[0][1] == 6


class _Reading(_Model):
  """Reads what training puts in the place of an embedding feature's ids."""

  def model_fn(self, features, mode):
    spec = super().model_fn(features, mode)
    return spec._replace(loss=spec.loss + 0 * tf.reduce_sum(self.read(features)))

  def read(self, features):
    value = features["tags"]
    return tf.cast(value.values if isinstance(value, tf.RaggedTensor) else value, tf.float32)


class _Copying(_Reading):
  def read(self, features):
    value = {**features}["user"]
    return tf.cast(value.values if isinstance(value, tf.RaggedTensor) else value, tf.float32)


class _Summarising(_Model):
  def __init__(self, params=None):
    super().__init__(params)
    self.p.enable_grads_and_vars_summary = True


@pytest.mark.parametrize("model_class", [_Reading, _Copying, _Summarising])
def test_a_model_that_looks_at_single_fids_gets_them(tmp_path, model_class):
  plain = _train(_model(), tmp_path / "plain", fuse_lookups=False)
  watch = _train(_model(model_class=model_class), tmp_path / "own")
  assert not watch.combined and not plain.combined
  np.testing.assert_allclose(event_files.losses(tmp_path / "own"), event_files.losses(tmp_path / "plain"), rtol=1e-6)


def test_a_combiner_of_the_users_own_is_not_combined_by_the_op(tmp_path):
  class Doubled(embedding_combiners.ReduceSum):
    def combine(self, key, embedding, name=None):
      return 2 * super().combine(key, embedding, name)

  class Own(_Model):
    def create_embedding_feature_column(self, feature_name, **kwargs):
      if feature_name == "user":
        kwargs["combiner"] = Doubled()
      return super().create_embedding_feature_column(feature_name, **kwargs)

  training = cpu_training.CpuTraining(CpuTrainingConfig(), _model(model_class=Own))
  assert "feature 'user' has a combiner of its own" in why_not_combined(training.feature_configs)


def test_a_second_pass_that_differs_from_the_first_is_refused(tmp_path):
  class Changing(_Model):
    calls = 0

    def model_fn(self, features, mode):
      Changing.calls += 1
      spec = super().model_fn(features, mode)
      if Changing.calls > 1:
        self.fc_dict["tags"].get_all_embeddings_concat()
      return spec

  with pytest.raises(ValueError, match="single fids of feature 'tags', but did not in its first pass"):
    _train(_model(model_class=Changing), tmp_path)


def test_every_way_to_a_ragged_feature_is_noted():
  ragged, dense = tf.ragged.constant([[1]]), tf.constant([1])
  ways = (
    lambda f: f["r"], lambda f: f.get("r"), lambda f: f.pop("r"), lambda f: f.setdefault("r"), lambda f: f.popitem(),
    lambda f: f.values(), lambda f: f.items(), lambda f: f.copy(), lambda f: dict(f), lambda f: {**f},
    lambda f: copy.copy(f), lambda f: tf.nest.map_structure(tf.identity, f), lambda f: f | {}, lambda f: {} | f,
    lambda f: list(f), lambda f: f.keys(), lambda f: "r" in f,
  )  # fmt: skip
  for number, way in enumerate(ways):
    noted: list = []
    way(WatchedFeatures({"d": dense, "r": ragged}, noted))
    assert "r" in noted, number
  noted = []
  features = WatchedFeatures({"d": dense, "r": ragged}, noted)
  assert features["d"] is dense and features.get("x", 5) == 5 and len(features) == 2 and "d" in features
  assert not noted
  assert WatchedFeatures({"d": dense, "e": dense}, noted, watched=("e",))["e"] is dense and noted == ["e"]
