# SPDX-License-Identifier: Apache-2.0
"""Which models and inputs get layouts unasked, and that they train and read as without."""

from __future__ import annotations

import numpy as np
import pytest

from idl.matrix.proto import example_pb2
from monolith.native_training import _training_functions, cpu_training, entry, native_model, tf_estimator
from monolith.native_training._input_records import input_columns
from monolith.native_training._local_training import LocalTraining
from monolith.native_training.cpu_training import CpuTrainingConfig
from monolith.native_training.data import parsers
from monolith.native_training.hooks import ckpt_hooks

import tensorflow as tf  # isort: skip

pytestmark = pytest.mark.usefixtures("fresh_slot_names")

ModeKeys = tf_estimator.ModeKeys
_BATCH, _STEPS = 16, 50
_FEATURES = ("clicks", "genres", "history", "seen", "tags", "unused", "user", "watched")
_PLAIN, _COMBINED, _CHOSEN = {"fuse_lookups": False}, {"enable_fused_layout": False}, {}


def _record(random):
  example = example_pb2.Example(label=[float(random.integers(0, 2)), float(random.integers(0, 2))])
  for name in _FEATURES:
    count = 1 if name == "user" else random.integers(0, 5)
    # The last fids are negative as int64, and fids of a row repeat.
    fids = [int(fid) % 2**64 for fid in random.integers(-8, 15, count)]
    example.named_feature.add(name=name).feature.fid_v2_list.value.extend(fids)
  example.line_id.req_time = 1000
  return example.SerializeToString()


class _Model(native_model.MonolithModel):
  """Shared slots, sequences, groups, a filter, slices in several lookups, two heads, an auxiliary loss."""

  def records(self, mode):
    random = np.random.default_rng(1 if mode == ModeKeys.TRAIN else 2)
    steps = _STEPS if mode == ModeKeys.TRAIN else 3
    return tf.data.Dataset.from_tensor_slices([_record(random) for _ in range(_BATCH * steps)])

  def parse(self, serialized):
    found = parsers.parse_examples(serialized, list(_FEATURES), ["label"], [2], extra_features=["req_time"])
    return {**found, "label": tf.identity(found["label"])}

  def input_fn(self, mode):
    return self.records(mode).batch(_BATCH, drop_remainder=True).map(self.parse).prefetch(1)

  def serving_input_receiver_fn(self):
    raise NotImplementedError

  def lookups(self):
    """Tensors [B], whose sum is the logit."""
    self.create_embedding_feature_column("history", max_seq_length=3)
    self.create_embedding_feature_column("clicks", max_seq_length=2)
    self.create_embedding_feature_column("tags", occurrence_threshold=2, expire_time=5)
    self.create_embedding_feature_column("watched", shared_name="tags", combiner="reduce_mean")
    self.create_embedding_feature_column("genres", combiner="reduce_mean")
    adagrad = (entry.RandomUniformInitializer(-0.3, 0.3), entry.AdagradOptimizer(0.2, 0.1), entry.Fp32Compressor())
    adam = (entry.ZerosInitializer(), entry.AdamOptimizer(0.1), entry.Fp32Compressor())
    pooled = ["watched", "user", "tags", "genres"]
    deep = self.lookup_embedding_slice(pooled, "deep", 4, *adagrad, out_type="concat")
    # The same features in another order, and joined otherwise: layouts of their own.
    turned = self.lookup_embedding_slice(pooled[::-1], "deep", 4, *adagrad, out_type="concat")
    stacked = self.lookup_embedding_slice(pooled, "deep", 4, *adagrad, out_type="stack")
    groups = self.lookup_embedding_slice([pooled[:2], pooled[2:]], "deep", 4, *adagrad, out_type="concat")
    bias = self.lookup_embedding_slice(pooled, "bias", 1, *adam, out_type="add_n")
    sequences = self.lookup_embedding_slice(["history", "clicks"], "deep", 4, *adagrad, out_type="concat")
    (unused,) = self.lookup_embedding_slice(["unused"], "deep", 4, *adam)
    assert sequences.shape.as_list() == [_BATCH, 5, 4] and turned.shape.as_list() == [_BATCH, 16]
    self.add_loss(0.01 * tf.reduce_sum(tf.square(deep)))
    return [
      tf.reduce_sum(tf.sin(3 * deep), 1),
      tf.reduce_sum(turned * tf.range(16.0), 1) / 16,
      tf.reduce_sum(stacked[:, 0] * stacked[:, 3], 1),
      tf.reduce_sum(tf.sin(groups), 1),
      bias[:, 0],
      tf.reduce_sum(tf.cos(sequences) * tf.reshape(tf.range(5.0), [5, 1]), [1, 2]),
      0 * tf.reduce_sum(tf.stop_gradient(unused), 1),
    ]

  def model_fn(self, features, mode):
    logits = tf.add_n(self.lookups()) * tf.compat.v1.get_variable("w", initializer=1.0)
    logits = [logits, tf.sin(logits)]
    labels = tf.unstack(features["label"], axis=1)
    losses = [tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(y, z)) for y, z in zip(labels, logits, strict=True)]
    return native_model.EstimatorSpec(
      label=labels, pred=[tf.sigmoid(z) for z in logits], head_name=["first", "second"], loss=tf.add_n(losses),
      optimizer=tf.compat.v1.train.AdagradOptimizer(0.1), classification=[True, True],
    )  # fmt: skip


class _Watch(tf.compat.v1.train.SessionRunHook):
  """Keeps each step's loss and gradient norm, and which ops the graph has."""

  def begin(self):
    operations = tf.compat.v1.get_default_graph().get_operations()
    self.types = {op.type for op in operations}
    summaries = [op for op in operations if op.type == "ScalarSummary"]
    scalars = {np.asarray(tf.get_static_value(op.inputs[0])).item(): op.inputs[1] for op in summaries}
    zero = tf.constant(0.0)
    self._values = [scalars.get(b"loss", zero), scalars.get(b"global_gradient_norm", zero)]
    self.losses, self.norms = [], []

  def before_run(self, run_context):
    return tf.compat.v1.train.SessionRunArgs(self._values)

  def after_run(self, run_context, run_values):
    self.losses.append(run_values.results[0])
    self.norms.append(run_values.results[1])

  @property
  def by_layout(self):
    return "MonolithEmbeddingToLayoutV5" in self.types


@pytest.fixture(name="log")
def _log(monkeypatch):
  lines = []
  monkeypatch.setattr(_training_functions.logging, "info", lambda text, *values: lines.append(text % values))
  return lines


def _instantiate(model_class, clip_norm=None):
  params = model_class.params()
  params.clip_norm = clip_norm
  params.train.per_replica_batch_size = _BATCH
  return params.instantiate()


def _train(directory, settings, model_class=_Model, steps=None, clip_norm=None):
  watch = _Watch()
  config = CpuTrainingConfig(save_summary_steps=1, enable_model_ckpt_info=True, **settings)
  if settings.get("fuse_lookups") is False:
    config.num_ps = 0
  model = _instantiate(model_class, clip_norm)
  cpu_training.local_train_internal(model, config, str(directory), steps=steps, user_hooks=[watch])
  return watch


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  """{clip norm: (directory, watch)} of embeddings looked up fid by fid."""
  found = {}
  for clip_norm in (None, 4.0):
    directory = tmp_path_factory.mktemp("plain")
    found[clip_norm] = directory, _train(directory, _PLAIN, clip_norm=clip_norm)
  return found


def _check(directory, watch, expected):
  expected_directory, expected_watch = expected
  assert len(watch.losses) == _STEPS and np.isfinite(watch.losses).all() and np.ptp(watch.losses) > 0
  np.testing.assert_allclose(watch.losses, expected_watch.losses, rtol=1e-5)
  np.testing.assert_allclose(watch.norms, expected_watch.norms, rtol=1e-4)
  info = f"ckpt.info-{_STEPS}"
  assert (directory / info).read_text() == (expected_directory / info).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 1, 2, 5])
@pytest.mark.parametrize("clip_norm", [None, 4.0])
def test_layouts_are_chosen_and_train_as_single_lookups_do(tmp_path, plain, log, num_ps, clip_norm):
  watch = _train(tmp_path, {"num_ps": num_ps}, clip_norm=clip_norm)
  assert watch.by_layout
  assert "Embeddings come in layouts in mode train." in log
  _check(tmp_path, watch, plain[clip_norm])
  assert clip_norm is None or np.median(watch.norms) > clip_norm, "the case clips little"


def _served(directory, settings):
  """Metrics and predictions, and whether both came by layouts."""
  watches = [_Watch(), _Watch()]
  with LocalTraining(_instantiate(_Model), CpuTrainingConfig(**settings), str(directory)) as local:
    metrics = local.evaluate(hooks=watches[:1])
    predictions = list(local.predict(hooks=watches[1:]))
  return metrics, predictions, [watch.by_layout for watch in watches]


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_evaluation_and_prediction_get_layouts_too(plain, log, num_ps):
  directory, _ = plain[None]
  metrics, predictions, by_layout = _served(directory, {"num_ps": num_ps})
  assert by_layout == [True, True]
  assert {f"Embeddings come in layouts in mode {mode}." for mode in (ModeKeys.EVAL, ModeKeys.PREDICT)} <= set(log)
  expected_metrics, expected, by_layout = _served(directory, _PLAIN)
  assert by_layout == [False, False]
  for name, value in expected_metrics.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
  assert len(predictions) == len(expected) == 3 * _BATCH
  for found, row in zip(predictions, expected, strict=True):
    np.testing.assert_allclose([found[name] for name in row], list(row.values()), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("first, second", [(_CHOSEN, _COMBINED), (_COMBINED, _CHOSEN), (_PLAIN, _CHOSEN)])
def test_a_checkpoint_of_one_way_resumes_with_another(tmp_path, first, second):
  losses = []
  for name, settings in (("one", (first, first)), ("other", (first, second))):
    for each in settings:
      watch = _train(tmp_path / name, each, steps=20)
      assert watch.by_layout == (each is _CHOSEN)
      # Both begin the input again.
      (tmp_path / name / "checkpoint_input_worker_0").unlink()
    losses.append(watch.losses)
  assert len(losses[0]) == 20
  np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_a_run_goes_on_from_the_position_of_its_input(tmp_path, log):
  expected = _train(tmp_path / "long", _CHOSEN, _Small, 20)
  assert expected.by_layout
  for name, first in (("records", _CHOSEN), ("fids", _COMBINED)):
    watches = [_train(tmp_path / name, settings, _Small, 10) for settings in (first, _CHOSEN)]
    assert [watch.by_layout for watch in watches] == [first is _CHOSEN] * 2
    np.testing.assert_allclose(watches[0].losses + watches[1].losses, expected.losses, rtol=1e-5)
  assert _reasons(log)[-1] == "the position of the input to go on from was saved with parsed fids."


def test_a_setting_that_changes_the_elements_starts_the_input_again(tmp_path, monkeypatch):
  warnings = []
  monkeypatch.setattr(ckpt_hooks.logging, "warning", lambda text, *values: warnings.append(text % values))
  assert _train(tmp_path, _CHOSEN, _Small, 2).by_layout
  assert not _train(tmp_path, _COMBINED, _Small, 2).by_layout
  assert any("it starts from its beginning" in warning for warning in warnings)


class _Untrained(_Model):
  """Of the features of one table one has no gradient."""

  def lookups(self):
    self.create_embedding_feature_column("seen", shared_name="tags")
    return [
      *super().lookups(),
      0 * tf.reduce_sum(tf.stop_gradient(self.lookup_embedding_slice(["seen"], "deep", 4)[0]), 1),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_a_feature_without_gradient_is_not_updated(tmp_path, num_ps):
  watches = [
    _train(tmp_path / str(number), {"num_ps": num_ps, **settings}, _Untrained, steps=12)
    for number, settings in enumerate((_PLAIN, _COMBINED, _CHOSEN))
  ]
  assert [watch.by_layout for watch in watches] == [False, False, True]
  for watch in watches[1:]:
    np.testing.assert_allclose(watch.losses, watches[0].losses, rtol=1e-5)


class _Small(_Model):
  """Two features in one lookup."""

  def lookups(self):
    return [tf.reduce_sum(self.lookup_embedding_slice(["user", "tags"], "vec", 2, out_type="concat"), 1)]


def _reasons(log):
  return [line.split(", since ")[1] for line in log if ", since " in line]


class _Switching(_Small):
  def parse(self, serialized):
    return self.share_slot(super().parse(serialized), {"user": (True, 3)})


class _Counting(_Small):
  def parse(self, serialized):
    found = super().parse(serialized)
    return {**found, "count": found["tags"].row_lengths()}


class _Filtering(_Small):
  def input_fn(self, mode):
    return super().input_fn(mode).filter(lambda found: tf.size(found["tags"].values) > 0)


class _Batching(_Small):
  def input_fn(self, mode):
    return self.records(mode).batch(2).map(self.parse).unbatch().batch(_BATCH)


class _Selecting(_Small):
  """It names what it hands on."""

  def input_fn(self, mode):
    return super().input_fn(mode).map(lambda found: {name: found[name] for name in ("user", "tags", "label")})


class _InMemory(_Small):
  def input_fn(self, mode):
    fids = tf.ragged.constant([[1]] * (_BATCH - 1) + [[2, 3]], tf.int64)
    return tf.data.Dataset.from_tensors({"user": fids, "tags": fids, "label": tf.zeros([_BATCH, 2])})


class _Making(_Small):
  """Its map is given splits and values."""

  def input_fn(self, mode):
    def ragged(splits, values, label):
      fids = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
      return {"user": fids, "tags": fids, "label": label}

    splits, values = tf.range(_BATCH + 1, dtype=tf.int64), tf.range(_BATCH, dtype=tf.int64)
    return tf.data.Dataset.from_tensors((splits, values, tf.zeros([_BATCH, 2]))).map(ragged)


class _Direct(_Small):
  """One lookup by the column's own method."""

  def lookups(self):
    found = super().lookups()
    return [*found, tf.reduce_sum(self.fc_dict["user"].embedding_lookup(self.slice_dict["user"]["vec"]), 1)]


class _SingleFids(_Small):
  def __init__(self, params=None):
    super().__init__(params)
    self.p.enable_grads_and_vars_summary = True


@pytest.mark.parametrize(
  "model_class, reason",
  [
    (_Switching, "the input changes the fids of feature 'user' after they are parsed"),
    (_Counting, "the input computes with the fids of feature 'tags'"),
    (_Filtering, "the input filters by the fids of feature 'tags'"),
    (_Batching, "the input takes feature 'tags' out of a BatchDatasetV2, not of a parse op"),
    (_Selecting, "the input fails on records whose fids are not parsed (KeyError"),
    (_InMemory, "the input takes feature 'tags' out of a TensorDataset, not of a parse op"),
    (_Making, "the input changes the fids of feature 'tags' after they are parsed"),
    (_Direct, "model_fn looks feature 'user' up otherwise than by lookup_embedding_slice"),
  ],
)
def test_what_gets_no_layouts_is_combined_and_says_why(tmp_path, log, model_class, reason):
  watch = _train(tmp_path, {}, model_class, steps=1)
  assert not watch.by_layout and "MonolithMultiHashTableCombinedOptimize" in watch.types
  (line,) = [line for line in log if "One op combines" in line]
  assert line.startswith("One op combines embeddings in mode train; they do not come in layouts, since ")
  assert _reasons(log)[0].startswith(reason)


def test_what_cannot_be_combined_says_why(tmp_path, log):
  watch = _train(tmp_path, {}, _SingleFids, steps=1)
  assert not watch.by_layout and "MonolithMultiHashTableCombinedOptimize" not in watch.types
  assert _reasons(log) == ["gradients of single fids are looked at."]


@pytest.mark.parametrize(
  "settings, reason",
  [(_COMBINED, "enable_fused_layout is False."), (_PLAIN, "fuse_lookups is False.")],
)
def test_a_setting_has_the_last_word(tmp_path, log, settings, reason):
  assert not _train(tmp_path, settings, _Small, steps=1).by_layout
  assert _reasons(log) == [reason]


def test_the_choice_is_logged_once(tmp_path, log):
  assert _train(tmp_path, {}, _Small, steps=1).by_layout
  assert [line for line in log if "mbeddings" in line] == ["Embeddings come in layouts in mode train."]


class _Evaluating(_Small):
  """Other inputs in other modes."""

  def input_fn(self, mode):
    return super().input_fn(mode) if mode == ModeKeys.TRAIN else _InMemory.input_fn(self, mode)


def test_every_mode_is_chosen_for_by_itself(tmp_path, log):
  assert _train(tmp_path, {}, _Evaluating, steps=1).by_layout
  watch = _Watch()
  with LocalTraining(_instantiate(_Evaluating), CpuTrainingConfig(), str(tmp_path)) as local:
    local.evaluate(hooks=[watch])
  assert not watch.by_layout
  assert _reasons(log) == ["the input takes feature 'tags' out of a TensorDataset, not of a parse op."]


def _columns(make):
  with tf.Graph().as_default():
    return input_columns(make())


def test_an_input_without_a_dataset_is_looked_over():
  def found():
    return parsers.parse_examples(tf.constant([_record(np.random.default_rng(1))]), ["user", "tags"], ["label"])

  assert _columns(found).why_no_records(["user", "tags"]) is None
  assert _columns(found).others == ["label"]
  assert _columns(lambda: (found(), tf.zeros([1]))).why_no_records(["user"]) is None
  assert "no ragged feature 'item'" in _columns(found).why_no_records(["item"])
  assert "no ragged feature 'label'" in _columns(found).why_no_records(["label"])
  renamed = _columns(lambda: {"tags": found()["user"]})
  assert "changes the fids of feature 'tags'" in renamed.why_no_records(["tags"])
  two = _columns(lambda: {"tags": found()["tags"], "user": found()["user"]})
  assert two.why_no_records(["tags"]) is None
  assert two.why_no_records(["tags", "user"]) == "the input parses its features by several ops"
  assert "no ragged feature" in _columns(lambda: tf.zeros([1])).why_no_records(["user"])
