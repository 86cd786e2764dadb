# SPDX-License-Identifier: Apache-2.0
"""A model that is trained on a made-up file and exported with made-up requests, all of which it can answer."""

import os
import sys

import numpy as np
import prediction_service
import pytest
from absl import logging

from monolith.native_training import entry, estimator, native_model, tf_estimator
from monolith.native_training.data import datasets, parsers
from monolith.native_training.model_export import (
  _prediction_logs,
  data_gen_utils,
  saved_model_exporters,
  warmup_data_decoder,
)
from monolith.native_training.model_export.export_context import ExportMode

import tensorflow as tf

_BATCH = 8
_COLUMNS = (["label", "age", "count"], [1, 3, 1], [tf.float32, tf.float32, tf.int64], ["uid", "actions"], [1, 2])
_DENSE = [data_gen_utils.FeatureMeta("label"), data_gen_utils.FeatureMeta("age", shape=3),
          data_gen_utils.FeatureMeta("count", dtype=tf.int64)]  # fmt: skip


def _parse(kind, records):
  if kind == "instance":
    return parsers.parse_instances(records, [1], ["slot_7"], *_COLUMNS)
  parse = parsers.parse_examples if kind == "example" else parsers.parse_example_batch
  return parse(records, ["fc_slot_1", "slot_7"], *_COLUMNS)


class _Model(native_model.MonolithModel):
  """Two heads and an extra output, of two slots and dense features."""

  def __init__(self, kind, heads, path):
    super().__init__(native_model.MonolithModel.params().set(name="warmed"))
    self.kind, self.heads, self.path = kind, heads, path
    self.p.train.per_replica_batch_size = _BATCH
    self.p.serving.export_mode = ExportMode.STANDALONE

  def instantiate(self):
    return self

  def input_fn(self, mode):
    kind = {"instance": "instance", "example": "example", "example_batch": "example_batch"}[self.kind]
    dataset = datasets.PBDataset(self.path, input_pb_type=kind, output_pb_type=_OUTPUT_TYPES[kind])
    if kind != "example_batch":
      dataset = dataset.batch(_BATCH, drop_remainder=True)
    return dataset.map(lambda records: _parse(self.kind, records))

  def serving_input_receiver_fn(self):
    records = tf.compat.v1.placeholder(tf.string, [None], "records")
    return tf_estimator.export.ServingInputReceiver(_parse(self.kind, records), {"asked": records})

  def model_fn(self, features, mode):
    for name in ("fc_slot_1", "slot_7"):
      self.create_embedding_feature_column(name)
    arguments = (entry.ZerosInitializer(), entry.SgdOptimizer(0.1), entry.Fp32Compressor())
    slices = self.lookup_embedding_slice(["fc_slot_1", "slot_7"], "vec", 2, *arguments, out_type="concat")
    dense = tf.concat([features["age"], tf.cast(features["count"], tf.float32)], axis=1)
    pred = tf.sigmoid(tf.reduce_sum(slices, 1) + tf.reduce_mean(dense, 1))
    self.add_extra_output(name="vectors", outputs={"vectors": slices})
    if mode == tf_estimator.ModeKeys.PREDICT:
      preds = [pred, 2 * pred][: self.heads]
      return estimator.EstimatorSpec(label=None, pred=preds, head_name=["ctr", "cvr"][: self.heads])
    label = tf.reshape(features["label"], [-1])
    return estimator.EstimatorSpec(
      label=[label] * self.heads, pred=[pred] * self.heads, head_name=["ctr", "cvr"][: self.heads],
      loss=tf.reduce_sum(tf.square(pred - label)), optimizer=tf.compat.v1.train.GradientDescentOptimizer(0.1),
      classification=[True] * self.heads,
    )  # fmt: skip


_OUTPUT_TYPES = {
  "instance": datasets.PbType.INSTANCE,
  "example": datasets.PbType.EXAMPLE,
  "example_batch": datasets.PbType.EXAMPLEBATCH,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind, heads, by_layout", [
  ("instance", 1, False), ("instance", 2, True), ("example", 2, False), ("example_batch", 2, True)
])  # fmt: skip
def test_a_model_answers_all_requests_that_are_made_up_for_it(tmp_path, monkeypatch, kind, heads, by_layout):
  monkeypatch.chdir(tmp_path)
  args = data_gen_utils.ParserArgs(
    fidv1_features=[1], fidv2_features=["slot_7"], sparse_features=["fc_slot_1", "slot_7"],
    dense_features=_DENSE, batch_size=_BATCH, variant_type=kind,
  )  # fmt: skip
  path = data_gen_utils.gen_random_data_file(str(tmp_path / "data.pb"), args, num_batch=4, rng=0)
  config = estimator.RunnerConfig(is_local=True, num_ps=0, model_dir=str(tmp_path / "model"))
  model = estimator.Estimator(_Model(kind, heads, path), config)
  model.train(steps=None)
  assert model.get_variable_value("global_step") == 4
  exported = model.export_saved_model(_BATCH, enable_fused_layout=by_layout).decode()
  assert not os.path.exists("warmup_file")  # the runner's default path
  requests = list(
    warmup_data_decoder.decode_requests(os.path.join(exported, "assets.extra", "tf_serving_warmup_requests"))
  )
  rows = 64 if kind == "example_batch" else None
  with prediction_service.loaded(exported) as (session, signatures):
    answers = [prediction_service.run(session, signatures[r.model_spec.signature_name], r) for r in requests]
  asked = [(r.model_spec.signature_name, *sorted(answer)) for r, answer in zip(requests, answers)]
  default = ("serving_default", *["ctr", "cvr"][:heads])
  single = [("serving_default", name) for name in default[1:]]
  assert asked[: 2 + len(single)] == [default, *single, ("vectors", "vectors")]
  assert len(asked) == 8 * (1 + len(single)) + 7
  for request, answer in zip(requests, answers):
    size = rows or len(tf.make_ndarray(request.inputs["asked"]))
    assert size == 64 and all(len(value) == 64 and np.all(np.isfinite(value)) for value in answer.values())


def _export_with(tmp_path, parse_fn, **arguments):
  """The export's path of a model without variables whose receiver is `parse_fn(records)`."""
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.train.create_global_step()
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver().save(session, str(tmp_path / "model" / "model.ckpt"), 1)

  def receiver():
    records = tf.compat.v1.placeholder(tf.string, [None])
    return tf_estimator.export.ServingInputReceiver(parse_fn(records), records)

  def model_fn(features, mode):
    return tf_estimator.EstimatorSpec(mode, predictions=tf.reduce_sum(features["age"], 1))

  exporter = saved_model_exporters.StandaloneExporter(
    model_fn, str(tmp_path / "model"), str(tmp_path / "out"), warmup_file=str(tmp_path / "warmup"), **arguments
  )
  return exporter.export_saved_model(receiver).decode()


def _parse_age(records):
  return parsers.parse_examples(records, ["slot_7"], ["age"], [1], [tf.float32])


@pytest.mark.parametrize("error", [KeyError("uid"), TypeError("no"), ValueError("no"), OSError("disk full")])
def test_an_export_is_complete_without_requests_that_cannot_be_made_up(tmp_path, monkeypatch, caplog, error):
  def fail(*_):
    raise error

  monkeypatch.setattr(_prediction_logs, "gen_warmup_file", fail)
  path = _export_with(tmp_path, _parse_age)
  assert os.path.exists(os.path.join(path, "saved_model.pb")) and not os.path.exists(os.path.join(path, "assets.extra"))
  (text,) = [r.getMessage() for r in caplog.records if "warm-up requests" in r.getMessage()]
  assert f"{type(error).__name__}: {error}" in text and "warmup_file to None" in text


def test_exports_without_servings_messages_say_so_once(tmp_path, monkeypatch):
  """Who has not installed them did not ask for requests: no warning, and not with every checkpoint."""
  monkeypatch.setitem(sys.modules, "tensorflow_serving.apis.prediction_log_pb2", None)
  told = []
  monkeypatch.setattr(saved_model_exporters.logging, "log_first_n", lambda *args: told.append(args))
  monkeypatch.setattr(saved_model_exporters.logging, "warning", lambda *args: pytest.fail(str(args)))
  path = _export_with(tmp_path, _parse_age)
  assert not os.path.exists(os.path.join(path, "assets.extra"))
  ((level, _, count, error),) = told
  assert (level, count) == (logging.INFO, 1) and "pip install" in str(error)
