# SPDX-License-Identifier: Apache-2.0
"""Tests of the user-facing Estimator, with a small ranking model."""

from __future__ import annotations

import os

import numpy as np
import pytest

from monolith.native_training import cpu_training, entry, estimator, native_model, tf_estimator
from monolith.native_training.model_export.export_context import ExportMode

import tensorflow as tf  # isort: skip

_BATCH = 32
_NUM_EXAMPLES = 256


def _examples():
  rng = np.random.RandomState(0)
  user, item = rng.randint(0, 20, _NUM_EXAMPLES), rng.randint(0, 30, _NUM_EXAMPLES)
  # The slot is in a fid's high bits; fids with the highest bit set are negative here.
  user = user.astype(np.int64) | np.int64(1 << 48)
  item = np.where(item % 2, -item, item).astype(np.int64)
  label = ((user + item) % 2).astype(np.float32)
  return {"user": user, "item": item, "label": label}


def _to_ragged(batch):
  for name in ("user", "item"):
    fids = batch[name]
    # Users twice a row, so that fids repeat within a row too.
    repeats = 2 if name == "user" else 1
    lengths = tf.ones_like(fids) * repeats
    batch[name] = tf.RaggedTensor.from_row_lengths(tf.repeat(fids, repeats), lengths)
  return batch


class _Ranker(native_model.MonolithModel):
  """Two features, a hidden layer, one binary head; every initial value is seeded."""

  def input_fn(self, mode):
    dataset = tf.data.Dataset.from_tensor_slices(_examples())
    dataset = dataset.batch(self.batch_size, drop_remainder=True).map(_to_ragged)
    return dataset.repeat() if mode == tf_estimator.ModeKeys.TRAIN else dataset

  def model_fn(self, features, mode):
    embeddings = self.lookup_embedding_slice(
      ["user", "item"],
      "vec",
      slice_dim=8,
      initializer=entry.RandomUniformInitializer(-0.1, 0.1),
      optimizer=entry.AdagradOptimizer(0.1, initial_accumulator_value=0.1),
      compressor=entry.Fp32Compressor(),
      out_type="concat",
    )

    def glorot(seed):
      return tf.keras.initializers.GlorotUniform(seed=seed)

    hidden = tf.keras.layers.Dense(16, activation="relu", kernel_initializer=glorot(1))(embeddings)
    logits = tf.keras.layers.Dense(1, kernel_initializer=glorot(2))(hidden)
    loss, pred = native_model.get_sigmoid_loss_and_pred("ctr", logits, features.get("label"), mode=mode)
    return native_model.EstimatorSpec(
      label=features.get("label"),
      pred=pred,
      head_name="ctr",
      loss=loss,
      optimizer=tf.compat.v1.train.AdamOptimizer(0.01),
    )

  def serving_input_receiver_fn(self):
    user = tf.compat.v1.placeholder(tf.int64, [None], "user")
    item = tf.compat.v1.placeholder(tf.int64, [None], "item")
    features = _to_ragged({"user": user, "item": item})
    return tf_estimator.export.ServingInputReceiver(features, {"user": user, "item": item})


def _params():
  params = _Ranker.params()
  params.train.per_replica_batch_size = _BATCH
  params.serving.export_mode = ExportMode.STANDALONE
  params.serving.shared_embedding = False
  return params


def _make(model_dir, **kwargs):
  config = estimator.RunnerConfig(is_local=True, model_dir=str(model_dir), log_step_count_steps=0, **kwargs)
  return estimator.Estimator(_params(), config)


def test_trains_evaluates_and_predicts(tmp_path):
  est = _make(tmp_path, save_checkpoints_steps=50)
  assert est.train(steps=100) is est
  metrics = est.evaluate()
  assert metrics["global_step"] == 100
  assert metrics["ctr_auc"] > 0.99
  assert set(metrics) == {"ctr_auc", "loss", "global_step"}
  predictions = np.array(list(est.predict()))
  assert predictions.shape == (_NUM_EXAMPLES,)
  assert np.mean((predictions > 0.5) == _examples()["label"]) > 0.98
  assert est.evaluate(checkpoint_path=str(tmp_path / "model.ckpt-50"))["global_step"] == 50


def test_evaluation_changes_nothing(tmp_path):
  est = _make(tmp_path)
  est.train(steps=5)
  before = sorted(os.listdir(tmp_path))
  first, second = est.evaluate(steps=3), est.evaluate(steps=3)
  assert first == second
  assert sorted(name for name in os.listdir(tmp_path) if name != "eval") == before


def test_max_steps_and_params_limits(tmp_path):
  est = _make(tmp_path)
  est.train(max_steps=3)
  est.train(max_steps=3)
  assert est.get_variable_value("global_step") == 3
  params = _params()
  params.train.max_steps = 5
  estimator.Estimator(params, est.config).train()
  assert est.get_variable_value("global_step") == 5
  assert "dense/kernel" in est.get_variable_names()


def test_the_caller_s_params_stay_as_they_are(tmp_path):
  params = _params()
  before = str(params)
  est = estimator.Estimator(params, estimator.RunnerConfig(is_local=True, model_dir=str(tmp_path)))
  est.train(steps=1)
  est.evaluate(steps=1)
  assert str(params) == before


class _LossRecorder(tf.compat.v1.train.SessionRunHook):
  def begin(self):
    (self._loss,) = [
      op.outputs[0] for op in tf.compat.v1.get_default_graph().get_operations() if op.name == "ctr_sigmoid_loss"
    ]
    self.losses = []

  def before_run(self, run_context):
    return tf.compat.v1.train.SessionRunArgs(self._loss)

  def after_run(self, run_context, run_values):
    self.losses.append(run_values.results)


def _losses(model_dir, num_ps, steps):
  recorder = _LossRecorder()
  config = cpu_training.CpuTrainingConfig(num_ps=num_ps, log_step_count_steps=0)
  cpu_training.local_train_internal(_params(), config, str(model_dir), steps=steps, user_hooks=[recorder])
  return np.array(recorder.losses)


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [1, 2, 3])
def test_any_number_of_parameter_servers_trains_the_same_model(tmp_path, num_ps):
  local, distributed = _losses(tmp_path / "local", 0, 50), _losses(tmp_path / "ps", num_ps, 50)
  assert local[-1] < 0.6 * local[0]
  np.testing.assert_allclose(distributed, local, rtol=1e-5, atol=1e-5)


def test_a_run_repeats_exactly(tmp_path):
  np.testing.assert_array_equal(_losses(tmp_path / "a", 0, 10), _losses(tmp_path / "b", 0, 10))


def test_resumed_run_continues_as_if_it_had_not_stopped(tmp_path):
  straight = _losses(tmp_path / "a", 0, 2 * _NUM_EXAMPLES // _BATCH)
  # The input starts over on resuming; after whole epochs that makes no difference.
  halves = [_losses(tmp_path / "b", 0, _NUM_EXAMPLES // _BATCH) for _ in range(2)]
  np.testing.assert_allclose(np.concatenate(halves), straight, rtol=1e-5)


def test_exported_model_predicts_the_same(tmp_path):
  est = _make(tmp_path)
  est.train(steps=20)
  path = est.export_saved_model().decode()
  assert path.startswith(str(tmp_path / "exported_models"))
  examples = _examples()
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
    signature = meta_graph.signature_def["serving_default"]
    feeds = {signature.inputs[name].name: examples[name] for name in ("user", "item")}
    served = session.run(signature.outputs["output"].name, feeds)
  np.testing.assert_allclose(served, np.array(list(est.predict())), atol=1e-6)
  with pytest.raises(ValueError, match="enable_fused_layout needs a serving_input_receiver_fn that parses serialized"):
    est.export_saved_model(enable_fused_layout=True)


def test_an_export_of_one_batch_size_says_which_input_makes_it_so(tmp_path, monkeypatch, caplog):
  def receiver_fn(self):
    fids = {name: tf.compat.v1.placeholder(tf.int64, [self.batch_size], name) for name in ("user", "item")}
    return tf_estimator.export.ServingInputReceiver(_to_ragged(dict(fids)), fids)

  monkeypatch.setattr(_Ranker, "serving_input_receiver_fn", receiver_fn)
  est = _make(tmp_path)
  est.train(steps=1)
  est.export_saved_model(batch_size=16)
  assert "takes requests of 16 rows only: its input 'user' has shape [16]" in caplog.text


def test_exports_with_every_checkpoint(tmp_path):
  params = _params()
  params.serving.export_when_saving = True
  config = cpu_training.CpuTrainingConfig(save_checkpoints_steps=2, checkpoints_max_to_keep=1)
  cpu_training.local_train_internal(params, config, str(tmp_path), steps=4)
  (export,) = (path for path in (tmp_path / "exported_models").iterdir() if path.is_dir())
  assert (export / "saved_model.pb").exists()
  params.train.dense_only_save_checkpoints_steps = 1
  with pytest.raises(ValueError, match="dense_only is True and .* is None, but an export is one whole model"):
    cpu_training.local_train_internal(params, config, str(tmp_path), steps=1)


class TestConfigs:
  def test_run_config_round_trips_through_json(self):
    config = estimator.RunConfig(is_local=True, model_dir="d", save_checkpoints_steps=7)
    assert estimator.RunConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match=r"no settings \['foo'\]"):
      estimator.RunConfig.from_json('{"foo": 1}')

  def test_to_runner_config_overlaps_embeddings_with_steps(self):
    runner = estimator.RunConfig(is_local=True, model_dir="d", num_ps=2).to_runner_config()
    assert isinstance(runner, estimator.RunnerConfig)
    assert (runner.num_ps, runner.model_dir) == (2, "d")
    assert runner.embedding_prefetch_capacity == 1 and runner.enable_embedding_postpush
    with pytest.raises(ValueError, match="enable_parameter_sync is not supported: there are no online servers"):
      estimator.RunConfig(enable_parameter_sync=True).to_runner_config()

  def test_run_config_trains(self, tmp_path):
    est = estimator.Estimator(_params(), estimator.RunConfig(is_local=True, model_dir=str(tmp_path)))
    est.train(steps=3)
    assert est.latest_checkpoint() == str(tmp_path / "model.ckpt-3")
    est.close()

  def test_what_is_for_later_is_refused_by_name(self, tmp_path):
    with pytest.raises(ValueError, match="is_local is False"):
      estimator.Estimator(_params(), estimator.RunConfig(model_dir="d"))
    with pytest.raises(ValueError, match="model_dir is empty"):
      estimator.Estimator(_params(), estimator.RunConfig(is_local=True))
    with pytest.raises(ValueError, match="warm_start_from is .x.; leave it None"):
      estimator.Estimator(_params(), estimator.RunConfig(), warm_start_from="x")
    with pytest.raises(ValueError, match="RunnerConfig.kafka_topics='t' is not supported: Kafka is not built"):
      _make(tmp_path, kafka_topics="t").train(steps=1)
    with pytest.raises(AssertionError, match="must be a list of SessionRunHook"):
      _make(tmp_path).train(steps=1, hooks=[3])
    with pytest.raises(ValueError, match="no checkpoint"):
      _make(tmp_path / "empty").get_variable_names()


def test_names_that_model_code_imports():
  for name in ("EstimatorSpec", "ServiceDiscoveryType", "ModeKeys", "ServingInputReceiver", "PredictOutput"):
    assert hasattr(estimator, name)
  spec = estimator.EstimatorSpec(label=1, pred=2)
  assert spec._replace(head_name="h") == (1, 2, "h", None, None, True)
