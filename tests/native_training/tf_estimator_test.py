# SPDX-License-Identifier: Apache-2.0
"""Tests of the Estimator-style loop with plain dense models."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest

import event_files

from monolith.native_training import save_utils, tf_estimator

import tensorflow as tf  # isort: skip

ModeKeys = tf_estimator.ModeKeys


def _input_fn(num_batches=None, value=1.0):
  def input_fn():
    dataset = tf.data.Dataset.from_tensor_slices({"x": np.full((4, 1), value, np.float32)}).batch(4)
    return dataset.repeat(num_batches)

  return input_fn


def _model_fn(features, mode, params):
  """Moves `w` by `params` a step, whatever the features are."""
  w = tf.compat.v1.get_variable("w", [], initializer=tf.compat.v1.zeros_initializer())
  prediction = features["x"] * w
  if mode == ModeKeys.PREDICT:
    return tf_estimator.EstimatorSpec(mode, predictions={"y": prediction, "x": features["x"]})
  loss = tf.reduce_mean(prediction)
  step = tf.compat.v1.train.get_global_step()
  with tf.control_dependencies([loss]):
    train_op = tf.group(w.assign_add(params or 1.0), step.assign_add(1))
  metrics = {"mean_x": tf.compat.v1.metrics.mean(features["x"])}
  return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, eval_metric_ops=metrics)


class _Recorder(tf.compat.v1.train.SessionRunHook):
  def __init__(self, name, log):
    self._name, self._log = name, log

  def begin(self):
    self._log.append(f"begin {self._name}")

  def after_create_session(self, session, coord):
    self._log.append(f"create {self._name}")

  def end(self, session):
    self._log.append(f"end {self._name}")


def test_steps_are_relative_and_training_resumes(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path))
  assert estimator.train(_input_fn(), steps=3) is estimator
  assert estimator.get_variable_value("w") == 3.0
  tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(), steps=2)
  assert estimator.get_variable_value("w") == 5.0
  assert estimator.get_variable_value("global_step") == 5
  assert estimator.get_variable_names() == ["global_step", "w"]
  assert estimator.latest_checkpoint() == str(tmp_path / "model.ckpt-5")


def test_max_steps_is_absolute_and_skips_when_reached(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path))
  estimator.train(_input_fn(), max_steps=4)
  estimator.train(_input_fn(), max_steps=6)
  assert estimator.get_variable_value("w") == 6.0

  def failing_input_fn():
    raise AssertionError("training must be skipped")

  estimator.train(failing_input_fn, max_steps=6)


def test_end_of_input_saves(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(num_batches=7))
  assert estimator.get_variable_value("w") == 7.0


def test_loss_summary_is_written(tmp_path):
  config = tf_estimator.RunConfig(save_summary_steps=1)
  tf_estimator.Estimator(_model_fn, str(tmp_path), config).train(_input_fn(), steps=2)
  events = [name for name in os.listdir(tmp_path) if "tfevents" in name]
  tags = {
    value.tag for name in events for event in event_files.events(tmp_path / name) for value in event.summary.value
  }
  assert "loss" in tags


def test_training_again_in_a_recreated_directory_writes_summaries(tmp_path):
  directory = tmp_path / "model"
  config = tf_estimator.RunConfig(save_summary_steps=1)
  tf_estimator.Estimator(_model_fn, str(directory), config).train(_input_fn(), steps=1)
  tf.io.gfile.rmtree(str(directory))
  tf_estimator.Estimator(_model_fn, str(directory), config).train(_input_fn(), steps=1)
  assert any("tfevents" in name for name in os.listdir(directory))


def test_predict_yields_examples_lazily_and_leaves_no_default_graph(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(), steps=2)
  predictions = estimator.predict(_input_fn(num_batches=2, value=3.0), predict_keys=["y"])
  first = next(predictions)
  assert tf.executing_eagerly()
  assert first == {"y": np.array([6.0], np.float32)}
  assert len(list(predictions)) == 7


def test_predict_batches_and_earlier_checkpoint(tmp_path):
  config = tf_estimator.RunConfig(save_checkpoints_steps=1)
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path), config).train(_input_fn(), steps=3)
  batches = list(
    estimator.predict(
      _input_fn(num_batches=1),
      checkpoint_path=str(tmp_path / "model.ckpt-2"),
      yield_single_examples=False,
    )
  )
  assert len(batches) == 1
  np.testing.assert_array_equal(batches[0]["y"], np.full([4, 1], 2.0))


def test_predict_names_unknown_keys(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(), steps=1)
  with pytest.raises(ValueError, match=r"no predictions \['z'\]; there are \['x', 'y'\]"):
    next(estimator.predict(_input_fn(), predict_keys=["z"]))


def test_evaluate_reports_metrics_and_changes_nothing(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(), steps=2)
  results = estimator.evaluate(_input_fn(value=0.5), steps=3)
  assert results == {"mean_x": 0.5, "loss": 1.0, "global_step": 2}
  assert estimator.get_variable_value("w") == 2.0
  assert os.listdir(tmp_path / "eval")


def test_evaluate_counts_all_batches_without_steps(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(), steps=1)
  log = []
  estimator.evaluate(_input_fn(num_batches=2), hooks=[_Recorder("h", log)])
  assert log == ["begin h", "create h", "end h"]


def test_evaluate_of_an_empty_input_is_refused(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(), steps=1)
  with pytest.raises(ValueError, match="no batch"):
    estimator.evaluate(_input_fn(num_batches=0))


def test_hooks_run_chief_first_then_given_then_the_spec_s(tmp_path):
  log = []

  def model_fn(features, mode, params):
    return _model_fn(features, mode, params)._replace(
      training_hooks=[_Recorder("spec", log)], training_chief_hooks=[_Recorder("chief", log)]
    )

  tf_estimator.Estimator(model_fn, str(tmp_path)).train(_input_fn(), hooks=[_Recorder("given", log)], steps=1)
  for moment in ("begin", "create", "end"):
    order = [entry.split()[1] for entry in log if entry.startswith(moment)]
    assert order == ["chief", "given", "spec"]


@pytest.fixture(name="heeded_signals")
def _heeded_signals():
  """Signals as a terminal's program has them: what a shell starts in the background ignores SIGINT."""
  handlers = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
  before = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}
  yield
  for signum, handler in before.items():
    signal.signal(signum, handler)


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_saves_and_previous_handler_returns(tmp_path, signum):
  class Killer(tf.compat.v1.train.SessionRunHook):
    def after_run(self, run_context, run_values):
      signal.raise_signal(signum)

  before = signal.getsignal(signum)
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path))
  estimator.train(_input_fn(), hooks=[Killer()], steps=100)
  assert estimator.stop_signal == signum
  assert estimator.get_variable_value("w") == 1.0
  assert signal.getsignal(signum) is before


@pytest.mark.usefixtures("heeded_signals")
def test_second_stop_signal_reaches_the_previous_handler(tmp_path):
  class DoubleKiller(tf.compat.v1.train.SessionRunHook):
    def after_run(self, run_context, run_values):
      signal.raise_signal(signal.SIGINT)
      signal.raise_signal(signal.SIGINT)

  with pytest.raises(KeyboardInterrupt):
    tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(), hooks=[DoubleKiller()])


def test_unwritable_model_dir_is_refused_before_user_code_runs(tmp_path):
  blocker = tmp_path / "file"
  blocker.write_text("")
  estimator = tf_estimator.Estimator(_model_fn, str(blocker / "model"))
  with pytest.raises(ValueError, match="cannot be written"):
    estimator.train(lambda: pytest.fail("input_fn ran"), steps=1)


def test_missing_checkpoint_files_are_named(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path)).train(_input_fn(), steps=1)
  os.remove(tmp_path / "model.ckpt-1.index")
  with pytest.raises(ValueError, match=r"model.ckpt-1.index does not exist"):
    estimator.latest_checkpoint()


def test_caller_mistakes_are_named(tmp_path):
  estimator = tf_estimator.Estimator(_model_fn, str(tmp_path))
  with pytest.raises(ValueError, match="steps=1 and max_steps=2"):
    estimator.train(_input_fn(), steps=1, max_steps=2)
  with pytest.raises(ValueError, match="steps is 0"):
    estimator.train(_input_fn(), steps=0)
  with pytest.raises(TypeError, match="no SessionRunHook"):
    estimator.train(_input_fn(), hooks=[object()], steps=1)
  with pytest.raises(ValueError, match="differs from config.model_dir"):
    tf_estimator.Estimator(_model_fn, "a", tf_estimator.RunConfig(model_dir="b"))
  with pytest.raises(ValueError, match="warm_start_from is 'x', which is not supported; leave it None and start"):
    tf_estimator.Estimator(_model_fn, str(tmp_path), warm_start_from="x")
  with pytest.raises(ValueError, match="no checkpoint"):
    estimator.get_variable_names()


def test_input_pairs_give_labels_and_config_reaches_user_functions(tmp_path):
  seen = {}

  def input_fn(mode, params, config):
    seen["input"] = (mode, params, config.model_dir)
    x = tf.data.Dataset.from_tensors((np.ones([2, 1], np.float32), np.ones([2], np.int64)))
    return x.repeat()

  def model_fn(features, labels, mode, params, config):
    seen["model"] = (labels.dtype, params, config.model_dir)
    return _model_fn({"x": features}, mode, 1.0)

  tf_estimator.Estimator(model_fn, str(tmp_path), params="p").train(input_fn, steps=1)
  assert seen["input"] == ("train", "p", str(tmp_path))
  assert seen["model"] == (tf.int64, "p", str(tmp_path))


class TestEstimatorSpec:
  def test_required_fields_by_mode(self):
    with pytest.raises(ValueError, match="has no train_op"):
      tf_estimator.EstimatorSpec("train", loss=tf.constant(1.0))
    with pytest.raises(ValueError, match="has no loss"):
      tf_estimator.EstimatorSpec("eval")
    with pytest.raises(ValueError, match="has no predictions"):
      tf_estimator.EstimatorSpec("infer")
    with pytest.raises(ValueError, match="mode is 'test'"):
      tf_estimator.EstimatorSpec("test")

  def test_loss_of_one_element_becomes_scalar(self):
    with tf.Graph().as_default():
      spec = tf_estimator.EstimatorSpec("train", loss=tf.constant([1.0]), train_op=tf.no_op())
      assert spec.loss.shape.rank == 0
      with pytest.raises(ValueError, match=r"shape \(2,\)"):
        tf_estimator.EstimatorSpec("eval", loss=tf.constant([1.0, 2.0]))

  def test_replace_validates(self):
    spec = tf_estimator.EstimatorSpec("infer", predictions=1)
    assert spec._replace(export_outputs={"a": 1}).export_outputs == {"a": 1}
    with pytest.raises(ValueError, match="cannot be replaced"):
      spec._replace(mode="train")
    with pytest.raises(ValueError, match="no fields"):
      spec._replace(foo=1)

  def test_foreign_spec_objects_are_accepted(self):
    class Foreign:
      mode, loss, train_op, predictions = "infer", None, None, 3

    assert tf_estimator.EstimatorSpec.from_any(Foreign()).predictions == 3
    with pytest.raises(TypeError, match="must return a tf_estimator.EstimatorSpec"):
      tf_estimator.EstimatorSpec.from_any({"loss": 1})


class TestRunConfig:
  def test_saving_periods(self):
    assert tf_estimator.RunConfig().save_checkpoints_secs == 600
    assert tf_estimator.RunConfig(save_checkpoints_steps=5).save_checkpoints_secs is None
    with pytest.raises(ValueError, match="both given"):
      tf_estimator.RunConfig(save_checkpoints_steps=5, save_checkpoints_secs=5)

  def test_local_by_default(self):
    config = tf_estimator.RunConfig()
    assert (config.master, config.is_chief, config.num_ps_replicas) == ("", True, 0)
    with pytest.raises(ValueError, match="no fields"):
      config.replace(foo=1)
    with pytest.raises(AttributeError, match="no attribute 'foo'"):
      _ = config.foo

  @pytest.mark.parametrize(
    "cluster, task, is_chief, master",
    [
      ({"chief": ["c:1"], "ps": ["p:1", "p:2"]}, ("chief", 0), True, "grpc://c:1"),
      ({"chief": ["c:1"], "worker": ["w:1"]}, ("worker", 0), False, "grpc://w:1"),
      ({"worker": ["w:1", "w:2"]}, ("worker", 0), True, "grpc://w:1"),
      ({"worker": ["w:1", "w:2"]}, ("worker", 1), False, "grpc://w:2"),
      ({"chief": ["c:1"]}, ("evaluator", 0), False, ""),
    ],
  )
  def test_tf_config(self, cluster, task, is_chief, master):
    tf_config = {"cluster": cluster, "task": {"type": task[0], "index": task[1]}}
    with tf_estimator.tf_config_env(tf_config):
      config = tf_estimator.RunConfig()
    assert "TF_CONFIG" not in os.environ
    config = config.replace(model_dir="d")
    assert (config.is_chief, config.master) == (is_chief, master)
    assert config.num_ps_replicas == len(cluster.get("ps", []))

  def test_malformed_tf_config_is_named(self, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(ValueError, match="TF_CONFIG is no JSON"):
      tf_estimator.RunConfig()
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}}))
    with pytest.raises(ValueError, match="needs type and index"):
      tf_estimator.RunConfig()
    task = {"type": "worker", "index": 1}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}, "task": task}))
    with pytest.raises(ValueError, match="worker:1 is not in the cluster"):
      tf_estimator.RunConfig()

  def test_tf_config_env_restores(self, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "before")
    with tf_estimator.tf_config_env(None):
      assert "TF_CONFIG" not in os.environ
    assert os.environ["TF_CONFIG"] == "before"


def test_predict_output_and_receiver():
  with tf.Graph().as_default():
    x = tf.constant(1.0)
    assert tf_estimator.export.PredictOutput(x).outputs == {"output": x}
    with pytest.raises(ValueError, match="'a' is 1"):
      tf_estimator.export.PredictOutput({"a": 1})
    receiver = tf_estimator.export.ServingInputReceiver({"f": x}, {})
    assert receiver.features == {"f": x}


def test_step_of_checkpoint():
  assert save_utils.step_of_checkpoint("/a-b/model.ckpt-30") == 30
  assert save_utils.step_of_checkpoint("/a-7/model.ckpt") == 0
