# SPDX-License-Identifier: Apache-2.0
"""Messages about the predictions of a training: to Kafka, into files of lines and into dumps of records."""

from __future__ import annotations

import json
import pathlib
import sys
import types

import numpy as np
import pytest

import pb_records
from idl.matrix.proto import example_pb2, line_id_pb2
from monolith.native_training import (
  _message_sinks,
  cpu_training,
  entry,
  estimator,
  native_model,
  native_task_context,
  tf_estimator,
)
from monolith.native_training._head_spec import Heads
from monolith.native_training._local_training import LocalTraining
from monolith.native_training.cpu_training import CpuTrainingConfig
from monolith.native_training.data import parsers
from monolith.native_training.data.datasets import PBDataset, PbType
from monolith.native_training.metric import metric_hook
from monolith.native_training.model_export.export_context import ExportMode

import tensorflow as tf  # isort: skip

ModeKeys = tf_estimator.ModeKeys
_FEATURES = ("item", "user")
_RATE, _DENSE_RATE = 0.25, 0.01
_DAYS = (1664236800, 1664323200)  # 20220927 and 20220928, UTC
_PATHS = {
  "plain": {"fuse_lookups": False},
  "combined": {"enable_fused_layout": False},
  "layout": {},  # the trainer's own choice
}
# In this order, as a longer way may have ops of a shorter one.
_OPS = {
  "layout": {"MonolithEmbeddingToLayoutV5"},
  "combined": {"MonolithMultiHashTableCombinedLookup", "MonolithCombineDealt"},
  "plain": {"MonolithMultiHashTableLookupSlots"},
}


def _row(random):
  uid = int(random.integers(1, 40))
  return {
    "user": [uid],
    "item": random.integers(100, 120, random.integers(0, 4)).tolist(),
    "labels": random.integers(0, 2, 2).tolist(),
    "uid": uid,
    "req_time": _DAYS[int(random.integers(0, 2))] + int(random.integers(0, 80000)),
    "sample_rate": float(random.choice([0.25, 0.5, 1.0])),
    "channel": ("home", "search")[int(random.integers(0, 2))],
  }


def _batches():
  random = np.random.default_rng(7)
  return [[_row(random) for _ in range(count)] for count in (16, 16, 16, 16, 5)]


def _example_batch(rows):
  batch = example_pb2.ExampleBatch(batch_size=len(rows))
  for name in _FEATURES:
    column = batch.named_feature_list.add(name=name)
    for row in rows:
      column.feature.add().fid_v2_list.value.extend(row[name])
  label = batch.named_feature_list.add(name="__LABEL__")
  line = batch.named_feature_list.add(name="__LINE_ID__")
  channel = batch.named_feature_list.add(name="channel")
  for row in rows:
    label.feature.add().float_list.value.extend(row["labels"])
    line_id = line_id_pb2.LineId(uid=row["uid"], req_time=row["req_time"], sample_rate=row["sample_rate"])
    line.feature.add().bytes_list.value.append(line_id.SerializeToString())
    channel.feature.add().bytes_list.value.append(row["channel"].encode())
  return batch


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _twin(heads=2):
  """Predictions of every row, in order, by a training in NumPy: `[rows, heads]`."""
  vectors, w, found = {}, 1.0, []
  factors = np.array([1.0, 2.0])[:heads]
  for rows in _batches():
    fids = [[("user", fid) for fid in row["user"]] + [("item", fid) for fid in row["item"]] for row in rows]
    sums = np.array([sum(vectors.get(fid, 0.0) for fid in of_row) for of_row in fids])
    preds = _sigmoid(np.outer(w * sums, factors))
    found.append(preds)
    labels = np.array([row["labels"][:heads] for row in rows])
    by_logit = (preds - labels) @ factors
    for of_row, gradient in zip(fids, by_logit):
      for fid in of_row:
        vectors[fid] = vectors.get(fid, 0.0) - _RATE * w * gradient
    w -= _DENSE_RATE * by_logit @ sums
  return np.concatenate(found)


class _Model(native_model.MonolithModel):
  """The sum of embeddings of width 1, times a variable, is the logit; the second head has twice that."""

  path, heads = "", 2
  extras = ("uid", "req_time", "sample_rate")

  def _parse(self, records):
    return parsers.parse_example_batch(
      records, list(_FEATURES), ["label", "channel"], [2, 1], [tf.float32, tf.string], list(self.extras)
    )

  def input_fn(self, mode):
    kind = PbType.EXAMPLEBATCH
    return PBDataset(file_name=self.path, input_pb_type=kind, output_pb_type=kind).batch(1).map(self._parse)

  def serving_input_receiver_fn(self):
    records = tf.compat.v1.placeholder(tf.string, [None], "records")
    return tf_estimator.export.ServingInputReceiver(self._parse(records), {"records": records})

  def model_fn(self, features, mode):
    summed = self.lookup_embedding_slice(
      list(_FEATURES), "bias", 1, entry.ZerosInitializer(), entry.SgdOptimizer(_RATE), entry.Fp32Compressor(),
      out_type="add_n",
    )  # fmt: skip
    logit = summed * tf.compat.v1.get_variable("w", initializer=1.0)
    logits = [logit, 2 * logit][: self.heads]
    labels = [features["label"][:, i : i + 1] for i in range(self.heads)]
    losses = [tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(y, z)) for y, z in zip(labels, logits)]
    preds, names = [tf.sigmoid(z) for z in logits], ["ctr", "cvr"][: self.heads]
    if self.heads == 1:
      labels, preds = labels[0], preds[0]
    return native_model.EstimatorSpec(
      labels, preds, names, tf.add_n(losses), tf.compat.v1.train.GradientDescentOptimizer(_DENSE_RATE)
    )


class _OneHead(_Model):
  heads = 1


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    yield


@pytest.fixture(autouse=True)
def _clean(monkeypatch, fresh_slot_names):
  """Names of slots and hooks are the process's; those of a test leave no trace in others."""
  del fresh_slot_names
  monkeypatch.setattr(metric_hook.KafkaMetricHook, "_instance", None, raising=False)
  monkeypatch.setattr(metric_hook.FileMetricHook, "_instance", None, raising=False)


@pytest.fixture(name="records")
def _records(tmp_path):
  path = tmp_path / "records"
  path.write_bytes(pb_records.stream([_example_batch(rows) for rows in _batches()], sort_id=b""))
  return str(path)


def _model(records, model_class=_Model, **metrics):
  params = model_class.params()
  params.clip_norm = None
  params.train.per_replica_batch_size = 16
  params.metrics.deep_insight_sample_ratio = 1.0
  for name, value in metrics.items():
    params.metrics[name] = value
  model = params.instantiate()
  model.path = records
  return model


class _Types(tf.compat.v1.train.SessionRunHook):
  """Keeps the kinds of ops that the graph of the loop has."""

  def begin(self):
    graph = tf.compat.v1.get_default_graph()
    self.types = {op.type for op in graph.get_operations()}
    self.collected = graph.get_collection("deep_insight_op")


def _train(model, directory, **settings):
  hook = _Types()
  cpu_training.local_train_internal(model, CpuTrainingConfig(**settings), str(directory), steps=None, user_hooks=[hook])
  return hook


def _files(base):
  return {
    str(path.relative_to(base)): path.read_text().splitlines() for path in sorted(base.rglob("*")) if path.is_file()
  }


def _messages_of(lines):
  return [json.loads(line) for line in lines]


def _check(messages, heads=2, model_name="di_name__Model", ratio=1.0, extras=None):
  """Every message, in the order of rows, beside what NumPy says of its row."""
  rows = [row for batch in _batches() for row in batch]
  names = ["ctr", "cvr"][:heads]
  assert len(messages) == len(rows) == 69
  for message, row, preds in zip(messages, rows, _twin(heads)):
    predicted = message.pop("predict")
    assert list(predicted) == names
    np.testing.assert_allclose(list(predicted.values()), preds, rtol=1e-5)
    assert message.pop("train_time") > _DAYS[1]
    expected = {
      "model_name": model_name,
      "req_time": row["req_time"],
      "uid": row["uid"],
      "label": dict(zip(names, row["labels"])),
      "sample_rate": dict.fromkeys(names, row["sample_rate"]),
      "sample_ratio": ratio,
    }
    assert message == {**expected, **({} if extras is None else extras(row))}


def _by_rows(files):
  """Messages of all files in the order of rows; each file has its rows in order."""
  days = {}
  for path, lines in files.items():
    days[path.split("/")[1]] = iter(_messages_of(lines))
  found = [next(days[_day(row)]) for batch in _batches() for row in batch]
  assert all(next(rest, None) is None for rest in days.values())
  return found


def _day(row):
  return "20220928" if row["req_time"] >= _DAYS[1] else "20220927"


class TestFiles:
  @pytest.mark.slow
  @pytest.mark.parametrize("path, num_ps", [("plain", 0), ("combined", 0), ("combined", 2), ("layout", 0),
                                            ("layout", 2)])  # fmt: skip
  def test_every_line_by_every_path(self, tmp_path, records, path, num_ps):
    out = tmp_path / "out"
    model = _model(records, enable_file_metrics=True, file_base_name=str(out))
    hook = _train(model, tmp_path / "model", num_ps=num_ps, **_PATHS[path])
    assert next(name for name, ops in _OPS.items() if ops & hook.types) == path
    files = _files(out)
    assert list(files) == [f"di_name__Model/{day}/worker_0/part_000000.txt" for day in ("20220927", "20220928")]
    _check(_by_rows(files))
    assert len(hook.collected) == 1

  def test_one_head(self, tmp_path, records):
    out = tmp_path / "out"
    model = _model(records, _OneHead, enable_file_metrics=True, file_base_name=str(out), deep_insight_name="ranker")
    hook = _train(model, tmp_path / "model")
    assert "MonolithWriteDeepInsight" in hook.types
    files = _files(out)
    assert [path.split("/")[0] for path in files] == ["ranker"] * 2
    _check(_by_rows(files), heads=1, model_name="ranker")

  @pytest.mark.parametrize("model_class", [_Model, _OneHead])
  def test_settings_of_files_and_further_fields(self, tmp_path, records, model_class):
    out = tmp_path / "out"
    seen = []

    def parse_fn(message):
      seen.append(message)
      return json.loads(message)

    model = _model(
      records,
      model_class,
      enable_file_metrics=True,
      enable_deep_insight=True,
      file_base_name=str(out),
      file_ext="log",
      extra_fields_keys=["channel"],
      parse_fn=parse_fn,
      key_fn=lambda item, worker, base: f"{base}/{item['extra_str']['channel']}_{worker}",
      layout_fn=metric_hook.vepfs_layout_fn,
    )
    _train(model, tmp_path / "model", model_name="served")

    def extras(row):
      return {"extra_str": {"channel": row["channel"]}}

    _check(_messages_of(seen), model_class.heads, "served", extras=extras)
    rows = [row for batch in _batches() for row in batch]
    files = _files(out)
    assert list(files) == ["home_0/part_000000.log", "search_0/part_000000.log"]
    for path, lines in files.items():
      mine = [row for row in rows if row["channel"] == path.split("_")[0]]
      assert [line.split(";")[:3] for line in lines] == [[str(row["req_time"]), "gid", str(row["uid"])] for row in mine]

  def test_a_share_of_the_users(self, tmp_path, records):
    out = tmp_path / "out"
    model = _model(records, enable_file_metrics=True, file_base_name=str(out), deep_insight_sample_ratio=0.5)
    _train(model, tmp_path / "model")
    messages = [message for lines in _files(out).values() for message in _messages_of(lines)]
    rows = [row for batch in _batches() for row in batch]
    users = {message["uid"] for message in messages}
    assert 5 < len(users) < len({row["uid"] for row in rows}) - 5
    assert sorted(m["req_time"] for m in messages) == sorted(row["req_time"] for row in rows if row["uid"] in users)

  def test_a_model_without_embeddings(self, tmp_path, records):
    class _Dense(_OneHead):
      def lookup_embedding_slice(self, *args, **kwargs):
        return tf.zeros([1, 1])

      def model_fn(self, features, mode):
        spec = super().model_fn(features, mode)
        return spec._replace(pred=features["label"][:, 1] / 4)

    out = tmp_path / "out"
    with native_task_context.with_ctx(native_task_context.get()._replace(model_name="another")):
      _train(_model(records, _Dense, enable_file_metrics=True, file_base_name=str(out)), tmp_path / "model")
    messages = _by_rows(_files(out))
    rows = [row for batch in _batches() for row in batch]
    assert [m["predict"]["ctr"] for m in messages] == [row["labels"][1] / 4 for row in rows]
    assert {m["model_name"] for m in messages} == {"di_name__Dense"}

  def test_a_second_training_writes_again(self, tmp_path, records):
    for name in "ab":
      model = _model(records, enable_file_metrics=True, file_base_name=str(tmp_path / name))
      _train(model, tmp_path / f"model_{name}")
    for name in "ab":
      _check(_by_rows(_files(tmp_path / name)))


@pytest.mark.parametrize("num_ps", [0, 2])
def test_dumps(tmp_path, records, num_ps):
  for name in "ab":  # on servers that both trainings use
    dump = tmp_path / name / "dump"
    model = _model(records, enable_deep_insight=True, dump_filename=str(dump))
    hook = _train(model, tmp_path / f"model_{name}", num_ps=num_ps)
    assert "MonolithEmbeddingToLayoutV5" in hook.types
  for name in "ab":
    dumped = f"{tmp_path / name / 'dump'}.part-00000"
    _check(_messages_of(tf.compat.v1.io.tf_record_iterator(dumped)))


def test_dtypes_and_a_dump_for_every_worker(tmp_path):
  model = _model("", enable_deep_insight=True, dump_filename=str(tmp_path / "dump"), extra_fields_keys=["new", "price"])
  features = {
    "uid": tf.constant([[7], [8]]),
    "req_time": tf.constant([5, 6]),
    "sample_rate": tf.constant([0.5, 1.0], tf.float64),
    "new": tf.constant([True, False]),
    "price": tf.constant([1.5, 2.5], tf.float16),
  }
  label, pred = tf.constant([True, False]), tf.constant([[0.25], [0.75]], tf.float64)
  heads = Heads(["ctr", "cvr"], [label, None], [pred, pred], [True, True], {})
  context = native_task_context.get()._replace(worker_index=3, model_name="")
  with native_task_context.with_ctx(context):
    (messages,) = _message_sinks.add_message_sinks(model, features, heads)
  assert tf.compat.v1.get_collection("deep_insight_op") == [messages] and not model._training_hooks
  client = messages.op.inputs[0].op
  assert client.get_attr("enable_metrics_counter") and client.get_attr("is_fake")
  with tf.compat.v1.Session() as session:
    returned = session.run(messages).tolist()
  (path,) = tmp_path.iterdir()
  assert path.name == "dump.part-00003"
  assert list(tf.compat.v1.io.tf_record_iterator(str(path))) == returned
  first = json.loads(returned[0])
  assert first.pop("train_time") > _DAYS[1]
  assert first == {
    "model_name": "di_name__Model", "req_time": 5, "uid": 7, "predict": {"ctr": 0.25}, "label": {"ctr": 1},
    "sample_rate": {"ctr": 0.5}, "sample_ratio": 1, "extra_int": {"new": 1}, "extra_float": {"price": 1.5},
  }  # fmt: skip


class _Kafka:
  """Stands for KafkaProducer and acknowledges everything."""

  made: list = []

  def __init__(self, bootstrap_servers):
    self.brokers, self.sent, self.closed = bootstrap_servers, [], False
    self.made.append(self)

  def send(self, topic, message):
    self.sent.append((topic, message))
    return types.SimpleNamespace(add_callback=lambda call: call("metadata"), add_errback=lambda call: None)

  def flush(self, timeout):
    del timeout

  def close(self, timeout):
    del timeout
    self.closed = True


@pytest.fixture(name="kafka")
def _fake_kafka(monkeypatch):
  monkeypatch.setattr(_Kafka, "made", [])
  monkeypatch.setitem(sys.modules, "kafka", types.SimpleNamespace(KafkaProducer=_Kafka))
  monkeypatch.setenv("KAFKA_BROKER_LIST", "a:1,b:2")
  monkeypatch.setenv("KAFKA_TOPIC_NAME", "topic")
  return _Kafka


@pytest.mark.parametrize("num_ps", [0, 2])
def test_kafka_and_files_get_the_same(tmp_path, records, kafka, num_ps):
  out = tmp_path / "out"
  model = _model(records, enable_kafka_metrics=True, enable_file_metrics=True, file_base_name=str(out))
  _train(model, tmp_path / "model", num_ps=num_ps)
  (producer,) = kafka.made
  assert producer.brokers == ["a:1", "b:2"] and producer.closed
  assert {topic for topic, _ in producer.sent} == {"topic"}
  _check(_messages_of(message for _, message in producer.sent))
  _check(_by_rows(_files(out)))


def test_kafka_needs_its_environment(tmp_path, records, kafka, monkeypatch):
  monkeypatch.delenv("KAFKA_TOPIC_NAME")
  with pytest.raises(ValueError, match="KAFKA_TOPIC_NAME not set"):
    _train(_model(records, enable_kafka_metrics=True), tmp_path / "model")
  assert not kafka.made


class TestNothing:
  """Where nothing is sent, there is neither an op nor a hook."""

  def _sends_nothing(self, hook, out, kafka):
    assert not hook.collected and not {kind for kind in hook.types if "DeepInsight" in kind}
    assert not out.exists() and not kafka.made
    assert metric_hook.FileMetricHook.__dict__.get("_instance") is None

  @pytest.mark.parametrize("change", [{"deep_insight_sample_ratio": 0.0}, {"off": True}])
  def test_is_sent_unless_asked_for(self, tmp_path, records, kafka, change):
    sinks = {"enable_kafka_metrics": True, "enable_file_metrics": True, "enable_deep_insight": True}
    out = tmp_path / "out"
    model = _model(records, file_base_name=str(out), **({} if "off" in change else {**sinks, **change}))
    self._sends_nothing(_train(model, tmp_path / "model"), out, kafka)

  def test_is_sent_without_request_times(self, tmp_path, records, kafka, monkeypatch):
    logged = []
    monkeypatch.setattr("monolith.native_training.metric.utils.logging.info", lambda text, *_: logged.append(text))
    out = tmp_path / "out"
    model = _model(records, enable_kafka_metrics=True, enable_file_metrics=True, file_base_name=str(out))
    model.extras = ("uid", "sample_rate")
    self._sends_nothing(_train(model, tmp_path / "model"), out, kafka)
    assert "Disabling deep_insight because req_time is absent" in logged

  @pytest.mark.slow
  def test_is_sent_outside_of_training(self, tmp_path, records, kafka):
    _train(_model(records), tmp_path / "model")
    out = tmp_path / "out"
    sinks = {"enable_kafka_metrics": True, "enable_file_metrics": True, "enable_deep_insight": True}

    def make():
      return _model(records, file_base_name=str(out), dump_filename=str(tmp_path / "dump"), **sinks)

    for what in ("evaluate", "predict", "train"):
      model, hook = make(), _Types()
      if what == "train":
        model.p.mode = ModeKeys.EVAL
      with LocalTraining(model, CpuTrainingConfig(), str(tmp_path / "model")) as local:
        result = getattr(local, what)(hooks=[hook])
        assert what != "predict" or len(list(result)) == 69
      self._sends_nothing(hook, out, kafka)
    # Dry runs build the ops of training and run none of them.
    assert not list(tmp_path.glob("dump*"))

  def test_is_exported(self, tmp_path, records, kafka):
    out = tmp_path / "out"
    sinks = {"enable_file_metrics": True, "enable_deep_insight": True}
    model = _model(records, file_base_name=str(out), dump_filename=str(tmp_path / "dump"), **sinks)
    model.p.serving.set(export_mode=ExportMode.STANDALONE, shared_embedding=False)
    _train(model, tmp_path / "model")
    before = {path: path.read_bytes() for path in [*out.rglob("*.txt"), *tmp_path.glob("dump*")]}
    config = estimator.RunnerConfig(is_local=True, model_dir=str(tmp_path / "model"), log_step_count_steps=0)
    exported = pathlib.Path(estimator.Estimator(model, config).export_saved_model().decode())
    assert len(before) == 3 and b"DeepInsight" not in (exported / "saved_model.pb").read_bytes()
    assert before == {path: path.read_bytes() for path in [*out.rglob("*.txt"), *tmp_path.glob("dump*")]}


class TestRefused:
  def test_a_databus(self, tmp_path, records):
    with pytest.raises(ValueError, match="no databus .* set metrics.dump_filename, enable_file_metrics or enable_k"):
      _train(_model(records, enable_deep_insight=True), tmp_path / "model")

  @pytest.mark.parametrize("missing", ["uid", "sample_rate", "city"])
  def test_missing_features(self, tmp_path, records, missing):
    model = _model(records, enable_file_metrics=True, file_base_name=str(tmp_path), extra_fields_keys=["channel"])
    if missing == "city":
      model.p.metrics.extra_fields_keys = ["channel", "city"]
    model.extras = tuple(name for name in model.extras if name != missing)
    with pytest.raises(KeyError, match=f"enable_file_metrics needs the feature '{missing}'; there are .*'req_time'"):
      _train(model, tmp_path / "model")

  @pytest.mark.parametrize("field, kind", [("label", r"Tensor of shape \(None, 2\)"), ("user", "RaggedTensor")])
  def test_fields_with_several_values(self, tmp_path, records, field, kind):
    model = _model(records, enable_file_metrics=True, file_base_name=str(tmp_path), extra_fields_keys=[field])
    with pytest.raises(ValueError, match=f"feature '{field}' is a .*{kind}.*one value a row"):
      _train(model, tmp_path / "model")

  @pytest.mark.parametrize("change, message", [("label", "labels, and none of the heads .*'ctr', 'cvr'"),
                                               ("pred", "pred of head 'ctr' is a .*one value a row")])  # fmt: skip
  def test_heads(self, tmp_path, records, change, message):
    class _Other(_Model):
      def model_fn(self, features, mode):
        spec = super().model_fn(features, mode)
        return (
          spec._replace(label=None)
          if change == "label"
          else spec._replace(pred=[tf.concat([pred, pred], 1) for pred in spec.pred], classification=False)
        )

    with pytest.raises(ValueError, match=message):
      _train(_model(records, _Other, enable_file_metrics=True, file_base_name=str(tmp_path)), tmp_path / "model")


def test_a_hook_of_the_model_itself_comes_first(tmp_path, records):
  class _Own(_Model):
    def model_fn(self, features, mode):
      if mode == ModeKeys.TRAIN:
        self.add_training_hook(metric_hook.FileMetricHook(tf.constant(['{"a": 1}']), key_fn=lambda *_: self.own))
      return super().model_fn(features, mode)

  model = _model(records, _Own, enable_file_metrics=True, file_base_name=str(tmp_path / "out"))
  model.own = str(tmp_path / "own")
  _train(model, tmp_path / "model")
  assert _files(tmp_path / "own") == {"part_000000.txt": ['{"a": 1}'] * 5}
  assert not (tmp_path / "out").exists()
