# SPDX-License-Identifier: Apache-2.0
"""Dumps of whole trainings: what is rebuilt of them gives the numbers of the models themselves."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import graph_values
import pb_records

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training import (
  _training_hooks,
  cpu_training,
  entry,
  estimator,
  native_model,
  native_task,
  tf_estimator,
)
from monolith.native_training.data import parsers
from monolith.native_training.data.datasets import PBDataset, PbType
from monolith.native_training.model_dump import dump_utils

v1 = tf.compat.v1
ModeKeys = tf_estimator.ModeKeys

_USERS, _ITEMS = 7, 5


def _fid(slot, number):
  return slot << 48 | number


def _write_examples(path, seed, count=48):
  random = np.random.RandomState(seed)
  examples = []
  for _ in range(count):
    user, item = random.randint(_USERS), random.randint(_ITEMS)
    example = example_pb2.Example(label=[float((user + item) % 2)])
    for name, slot, number in (("fc_slot_1", 1, user), ("fc_slot_2", 2, item)):
      example.named_feature.add(name=name).feature.fid_v2_list.value.append(_fid(slot, number))
    example.named_feature.add(name="dense").feature.float_list.value.extend(random.rand(2))
    examples.append(example)
  path.write_bytes(pb_records.stream(examples, sort_id=b""))
  return str(path)


class _Ranker(native_model.MonolithModel):
  """Two features beside a dense one, an auxiliary loss, and large variables that lie in parts."""

  @classmethod
  def params(cls):
    p = super().params()
    p.define("path", "", "The file to train on.")
    return p

  def input_fn(self, mode):
    dataset = PBDataset(file_name=self.p.path, input_pb_type=PbType.EXAMPLE, output_pb_type=PbType.EXAMPLE)
    dataset = dataset.batch(self.batch_size, drop_remainder=True).map(self._parse)
    return dataset.repeat() if mode == ModeKeys.TRAIN else dataset

  def _parse(self, records):
    return parsers.parse_examples(records, ["fc_slot_1", "fc_slot_2"], ["label", "dense"], [1, 2], [tf.float32] * 2)

  def serving_input_receiver_fn(self):
    records = v1.placeholder(tf.string, [None], name="records")
    return tf_estimator.export.ServingInputReceiver(self._parse(records), {"records": records})

  def model_fn(self, features, mode):
    self.create_embedding_feature_column("fc_slot_1", occurrence_threshold=0, expire_time=300)
    vectors = self.lookup_embedding_slice(
      ["fc_slot_1", 2], "vec", 4, entry.RandomUniformInitializer(-0.1, 0.1), entry.SgdOptimizer(0.1), out_type="concat"
    )
    wide = v1.get_variable("wide", [10, 4000], initializer=v1.truncated_normal_initializer(stddev=0.1, seed=1))
    hidden = tf.nn.relu(tf.matmul(tf.concat([vectors, features["dense"]], 1), wide))
    logits = tf.keras.layers.Dense(1, kernel_initializer=tf.keras.initializers.GlorotUniform(seed=2))(hidden)
    self.add_loss(0.01 * tf.reduce_sum(tf.square(logits)))
    label = tf.reshape(features["label"], [-1])
    loss, pred = native_model.get_sigmoid_loss_and_pred("ctr", logits, label, mode=mode)
    optimizer = v1.train.AdagradOptimizer(0.05)
    return native_model.EstimatorSpec(label=label, pred=pred, head_name="ctr", loss=loss, optimizer=optimizer)


def _ranker_params(path):
  params = _Ranker.params()
  params.path = path
  params.train.per_replica_batch_size = 8
  return params


def _train_ranker(tmp_path, **settings):
  path = _write_examples(tmp_path / "train", 0)
  directory = str(tmp_path / "model")
  config = estimator.RunnerConfig(
    is_local=True, model_dir=directory, enable_model_dump=True, log_step_count_steps=0, save_summary_steps=0, **settings
  )
  estimator.Estimator(_ranker_params(path), config).train(steps=5)
  loaded = dump_utils.DumpUtils()
  assert not loaded.enable
  loaded.load(str(tmp_path / "model" / "model_dump"))
  return loaded, directory


@pytest.fixture
def loaded_dump(tmp_path):
  loaded, directory = _train_ranker(tmp_path, enable_fused_layout=False)
  yield loaded, directory
  loaded.reset()


def test_a_run_dumps_training_and_serving(loaded_dump, tmp_path):
  loaded, directory = loaded_dump
  assert json.loads(loaded.run_config)["model_dir"] == directory
  assert loaded.has_collected() and sorted(loaded.table_configs) == ["fc_slot_1", "fc_slot_2"]
  assert loaded.feature_slice_dims == {"fc_slot_1": [4], "fc_slot_2": [4]}
  assert loaded.restore_params()["p"].train.per_replica_batch_size == 8
  (layout,) = loaded.restore_params()["_layout_dict"].values()
  assert [part.feature_name for part in layout.slice_configs] == ["fc_slot_1", "fc_slot_2"]
  for proto in (loaded.train, loaded.infer):
    assert [feature.feature_name for feature in proto.features] == ["fc_slot_1", "fc_slot_2"]
    assert proto.features[0].expire_time == 300
    (piece,) = proto.emb_slices
    assert piece.features == "['fc_slot_1', 2]" and piece.out_type == "concat" and len(piece.output_tensor_names) == 1
    assert list(proto.model_fn.head_name) == ["ctr"] and len(proto.model_fn.extra_losses) == 1
  assert sorted(loaded.train.input_fn.output_features) == ["dense", "fc_slot_1", "fc_slot_2", "label"]
  assert loaded.train.input_fn.parser_type == loaded.infer.serving_input_receiver_fn.parser_type == "example"
  assert len(loaded.train.save_slice_info) > 1 and not loaded.infer.HasField("input_fn")
  with tf.Graph().as_default():
    optimizer = loaded.get_graph_helper(ModeKeys.TRAIN).get_optimizer(loaded.train)
  assert isinstance(optimizer, v1.train.AdagradOptimizer) and not loaded.infer.optimizer


def _original(directory, path, mode, wanted, feed_records=None):
  """What the model itself gives with the variables and tables of the run."""
  task = _ranker_params(path).instantiate()
  config = cpu_training.CpuTrainingConfig(
    embedding_prefetch_capacity=0, enable_embedding_postpush=False, enable_fused_layout=False
  )
  training = cpu_training.CpuTraining(config, task)
  with graph_values.new_graph():
    v1.train.get_or_create_global_step()
    hooks, feed = [], None
    if feed_records is None:
      (features, _), hooks = dump_utils.parse_input_fn_result(training.create_input_fn(mode)())
    else:
      receiver = training.create_serving_input_receiver_fn()()
      features, feed = receiver.features, {receiver.receiver_tensors["records"]: feed_records}
    spec = training.create_model_fn()(features=features, mode=mode, config=tf_estimator.RunConfig(model_dir=directory))
    return graph_values.values(directory, wanted(spec), hooks, 3, feed)


def test_a_run_s_dump_trains_on_another_file(loaded_dump, tmp_path):
  loaded, directory = loaded_dump
  other = _write_examples(tmp_path / "other", 1)
  expected = _original(directory, other, ModeKeys.TRAIN, lambda spec: spec.loss)
  assert len(set(expected)) == 3
  proto = loaded.train
  with graph_values.new_graph():
    helper = loaded.get_graph_helper(ModeKeys.TRAIN)
    features = helper.import_input_fn(proto.input_fn, other)
    _, hooks = dump_utils.parse_input_fn_result(features)
    rebuilt = helper.import_model_fn(helper.input_map(proto.input_fn.output_features, features), proto)
    (extra,) = getattr(v1.get_default_graph(), "__losses")
    assert all(v.op.name.startswith(("wide/part_", "dense/", "global_step")) for v in v1.global_variables())
    found = graph_values.values(directory, rebuilt.loss + tf.reduce_sum(extra), hooks, 3)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_run_s_dump_serves(loaded_dump, tmp_path):
  loaded, directory = loaded_dump
  path = _write_examples(tmp_path / "served", 2, count=6)
  with graph_values.new_graph(), v1.Session() as session:
    dataset = PBDataset(file_name=path, input_pb_type=PbType.EXAMPLE, output_pb_type=PbType.PLAINTEXT).batch(6)
    records = session.run(v1.data.make_one_shot_iterator(dataset).get_next())
  expected = _original(directory, path, ModeKeys.PREDICT, lambda spec: spec.predictions, records)[0]
  assert np.ptp(expected) > 1e-4
  message = loaded.infer.serving_input_receiver_fn
  with graph_values.new_graph():
    helper = loaded.get_graph_helper(ModeKeys.PREDICT)
    receiver = helper.import_receiver_fn(message)
    assert len(receiver.receiver_tensors) == 1
    rebuilt = helper.import_model_fn(helper.input_map(message.features, receiver.features), loaded.infer)
    feed = {receiver.receiver_tensors["records"]: records}
    (found,) = graph_values.values(directory, rebuilt.predict[0], [], 1, feed)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_run_s_dump_trains_on_embeddings_from_elsewhere(loaded_dump):
  loaded, _ = loaded_dump
  proto = loaded.train
  random = np.random.RandomState(5)
  vectors, dense = random.randn(8, 8).astype(np.float32), random.rand(8, 2).astype(np.float32)
  label = (random.rand(8) > 0.5).astype(np.float32)
  with graph_values.new_graph() as graph, v1.Session(graph=graph) as session:
    helper = loaded.get_graph_helper(ModeKeys.TRAIN)
    embeddings = tf.constant(vectors)
    rebuilt = helper.import_model_fn(
      {
        proto.emb_slices[0].output_tensor_names[0]: embeddings,
        proto.model_fn.non_ragged_features["dense"]: tf.constant(dense),
        proto.model_fn.non_ragged_features["label"]: tf.constant(label[:, None]),
      },
      proto,
    )
    # Neither an input nor a table is left.
    types = {op.type for op in graph.get_operations()}
    assert not any("Iterator" in kind or "HashTable" in kind or "Dataset" in kind for kind in types)
    gradient = tf.gradients(rebuilt.loss, embeddings)[0]
    step = helper.get_optimizer(proto).minimize(rebuilt.loss)
    session.run(v1.global_variables_initializer())
    values = {v.op.name: session.run(v) for v in v1.trainable_variables()}
    loss, pred, gradient = session.run([rebuilt.loss, rebuilt.predict[0], gradient])
    wide = np.concatenate([values[name] for name in sorted(values, key=_part) if name.startswith("wide")], axis=0)
    expected_pred, expected_loss, expected_gradient = _twin(vectors, dense, label, wide, values["dense/kernel"])
    np.testing.assert_allclose(pred, expected_pred, rtol=1e-5)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)
    session.run(step)
    assert session.run(rebuilt.loss) < loss


def _part(name):
  return int(name.rsplit("_", 1)[1]) if "part_" in name else -1


def _twin(vectors, dense, label, wide, kernel):
  """(predictions, loss, its gradient by the vectors) of the ranker in NumPy."""
  before = np.concatenate([vectors, dense], 1) @ wide
  logits = (np.maximum(before, 0) @ kernel)[:, 0]
  pred = 1 / (1 + np.exp(-logits))
  losses = -label * np.log(pred) - (1 - label) * np.log(1 - pred)
  errors = (pred - label)[:, None] @ kernel.T * (before > 0)
  return pred, np.sum(losses), (errors @ wide.T)[:, :8]


@pytest.mark.parametrize("settings", [{"enable_fused_layout": True}, {"num_ps": 2}, {"fuse_lookups": False}], ids=str)
def test_runs_of_every_kind_are_dumped(tmp_path, settings):
  loaded, directory = _train_ranker(tmp_path, **settings)
  other = _write_examples(tmp_path / "other", 1)
  expected = _original(directory, other, ModeKeys.TRAIN, lambda spec: spec.loss)
  proto = loaded.train
  assert [feature.feature_name for feature in proto.features] == ["fc_slot_1", "fc_slot_2"]
  with graph_values.new_graph():
    helper = loaded.get_graph_helper(ModeKeys.TRAIN)
    features = helper.import_input_fn(proto.input_fn, other)
    _, hooks = dump_utils.parse_input_fn_result(features)
    rebuilt = helper.import_model_fn(helper.input_map(proto.input_fn.output_features, features), proto)
    if "fuse_lookups" not in settings:  # Layouts, which are the trainer's own choice too.
      assert v1.get_collection("sparse_features") == [["fc_slot_1", "fc_slot_2"]]
    (extra,) = getattr(v1.get_default_graph(), "__losses")
    found = graph_values.values(directory, rebuilt.loss + tf.reduce_sum(extra), hooks, 3)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  loaded.reset()


def test_a_rebuilt_model_runs_in_the_loop(loaded_dump, tmp_path):
  loaded, directory = loaded_dump
  other = _write_examples(tmp_path / "other", 1)
  expected = _original(directory, other, ModeKeys.TRAIN, lambda spec: spec.loss)
  proto = loaded.train

  def input_fn():
    return loaded.get_graph_helper(ModeKeys.TRAIN).import_input_fn(proto.input_fn, other)

  def model_fn(features, mode):
    helper = loaded.get_graph_helper(ModeKeys.TRAIN)
    rebuilt = helper.import_model_fn(helper.input_map(proto.input_fn.output_features, features), proto)
    (extra,) = getattr(v1.get_default_graph(), "__losses")
    hook = _training_hooks.restore_hook(directory)
    return tf_estimator.EstimatorSpec(mode, loss=rebuilt.loss + tf.reduce_sum(extra), evaluation_hooks=[hook])

  run = tf_estimator.Estimator(model_fn, directory, tf_estimator.RunConfig(log_step_count_steps=0))
  np.testing.assert_allclose(run.evaluate(input_fn, steps=3)["loss"], np.mean(expected), rtol=1e-6)


def test_a_training_that_is_done_leaves_its_dump(tmp_path):
  path = _write_examples(tmp_path / "train", 0)
  config = estimator.RunnerConfig(is_local=True, model_dir=str(tmp_path / "model"), enable_model_dump=True)
  for _ in range(2):
    estimator.Estimator(_ranker_params(path), config).train(max_steps=2)
  loaded = dump_utils.DumpUtils()
  loaded.load(str(tmp_path / "model" / "model_dump"))
  assert loaded.train is not None and loaded.infer is not None
  loaded.reset()


def test_a_task_without_embeddings_and_without_serving_is_dumped(tmp_path):
  class Line(native_task.NativeTask):
    def create_input_fn(self, mode):
      return lambda: tf.data.Dataset.from_tensors(({"x": [1.0, 2.0]}, [3.0, 5.0])).repeat()

    def create_model_fn(self):
      def model_fn(features, labels, mode):
        slope = v1.get_variable("slope", [], initializer=v1.zeros_initializer())
        loss = tf.reduce_sum((slope * features["x"] - labels) ** 2)
        step = v1.train.get_global_step()
        train_op = v1.train.GradientDescentOptimizer(0.01).minimize(loss, global_step=step)
        return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

      return model_fn

  config = estimator.RunnerConfig(is_local=True, model_dir=str(tmp_path), enable_model_dump=True)
  estimator.Estimator(Line.params(), config).train(steps=3)
  loaded = dump_utils.DumpUtils()
  loaded.load(str(tmp_path / "model_dump"))
  assert loaded.infer is None and not loaded.has_collected()
  with graph_values.new_graph() as graph, v1.Session(graph=graph) as session:
    helper = loaded.get_graph_helper(ModeKeys.TRAIN)
    loss = helper.import_model_fn({}, loaded.train).loss
    session.run([v1.global_variables_initializer(), v1.get_collection("mkiter")])
    assert session.run(loss) == 34.0
    session.run(v1.trainable_variables()[0].assign(2.0))
    assert session.run(loss) == 2.0
  loaded.reset()


def test_models_that_dumps_cannot_hold_are_refused_before_training(tmp_path):
  class Hooked(_Ranker):
    def model_fn(self, features, mode):
      self.add_training_hook(v1.train.StopAtStepHook(100))
      return super().model_fn(features, mode)

  params = _ranker_params(_write_examples(tmp_path / "train", 0)).copy()
  params.cls = Hooked
  config = estimator.RunnerConfig(is_local=True, model_dir=str(tmp_path / "model"), enable_model_dump=True)
  with pytest.raises(ValueError, match=r"training hooks \['StopAtStepHook'\]"):
    estimator.Estimator(params, config).train(steps=5)
  assert not dump_utils.DumpUtils().enable and not (tmp_path / "model" / "model_dump").exists()


_OTHER_PROCESS = """
import sys
from monolith.native_training.model_dump.dump_utils import DumpUtils, parse_input_fn_result
import graph_values
directory, file_name = sys.argv[1:]
dump = DumpUtils()
dump.load(directory + "/model_dump")
with graph_values.new_graph():
  helper = dump.get_graph_helper("train")
  features = helper.import_input_fn(dump.train.input_fn, file_name)
  _, hooks = parse_input_fn_result(features)
  rebuilt = helper.import_model_fn(helper.input_map(dump.train.input_fn.output_features, features), dump.train)
  print("losses", *graph_values.values(directory, rebuilt.loss, hooks, 3))
"""


@pytest.mark.slow
def test_another_process_rebuilds_it(loaded_dump, tmp_path):
  loaded, directory = loaded_dump
  other = _write_examples(tmp_path / "other", 1)
  proto = loaded.train
  with graph_values.new_graph():
    helper = loaded.get_graph_helper(ModeKeys.TRAIN)
    features = helper.import_input_fn(proto.input_fn, other)
    _, hooks = dump_utils.parse_input_fn_result(features)
    rebuilt = helper.import_model_fn(helper.input_map(proto.input_fn.output_features, features), proto)
    expected = graph_values.values(directory, rebuilt.loss, hooks, 3)
  path = os.pathsep.join([os.path.dirname(graph_values.__file__), *sys.path])
  result = subprocess.run(
    [sys.executable, "-c", _OTHER_PROCESS, directory, other],
    env={**os.environ, "PYTHONPATH": path},
    capture_output=True,
    text=True,
    check=True,
  )
  (line,) = [line for line in result.stdout.splitlines() if line.startswith("losses")]
  np.testing.assert_allclose(np.array(line.split()[1:], np.float64), expected, rtol=1e-6)
