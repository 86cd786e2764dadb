# SPDX-License-Identifier: Apache-2.0
"""Predictions and evaluations that are written as lines of text."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import cpu_training, entry, native_model, native_task_context, tf_estimator
from monolith.native_training._local_training import LocalTraining
from monolith.native_training.cpu_training import CpuTrainingConfig

import tensorflow as tf  # isort: skip

ModeKeys = tf_estimator.ModeKeys


class _Model(native_model.MonolithModel):
  """Predicts the sum of embeddings, which one step of gradient descent has made -1 each, and twice that."""

  form = "dict"

  def input_fn(self, mode):
    batch = {
      "user": tf.ragged.constant([[1], [1, 2], []], tf.int64),
      "uid": tf.constant([[11], [12], [13]], tf.int64),
      "name": tf.constant(["a", "b", "c"]),
      "pair": tf.constant([[1.5, 2.0], [0.25, 1.0], [0.0, 3.0]]),
      "label": tf.zeros([3]),
    }
    return tf.data.Dataset.from_tensors(batch).repeat(1 if mode == ModeKeys.TRAIN else 2)

  def serving_input_receiver_fn(self):
    raise NotImplementedError

  def model_fn(self, features, mode):
    (vector,) = self.lookup_embedding_slice(
      ["user"], "vec", 1, entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor(), 1.0
    )
    preds = {"second": 2 * vector, "first": vector}
    names = list(preds)
    if self.form == "list":
      preds = list(preds.values())
    elif self.form == "one":
      preds, names = vector[:, 0], ["first"]
    label = None if mode == ModeKeys.PREDICT else (features["label"] if self.form == "one" else [features["label"]] * 2)
    loss = None if mode == ModeKeys.PREDICT else tf.reduce_mean(vector) * 3
    return native_model.EstimatorSpec(
      label, preds, names, loss, tf.compat.v1.train.GradientDescentOptimizer(1.0), classification=False
    )


def _model(form="dict", **settings):
  model = _Model.params().instantiate()
  model.form = form
  model.p.train.per_replica_batch_size = 3
  for name, value in settings.items():
    model.p[name] = value
  return model


@pytest.fixture(scope="module", name="trained")
def _trained(tmp_path_factory):
  directory = tmp_path_factory.mktemp("trained")
  cpu_training.local_train_internal(_model(), CpuTrainingConfig(), str(directory), steps=1)
  return str(directory)


def _lines(directory, worker=0):
  return (directory / f"part-{worker:05d}").read_text().splitlines()


# Fid 1 comes twice with gradient 1, fid 2 once: their vectors are -2 and -1.
@pytest.mark.parametrize(
  ("form", "line"), [("dict", ["11,-2,-4", "12,-3,-6", "13,0,0"]), ("list", ["11,-4,-2", "12,-6,-3", "13,0,0"]),
                     ("one", ["11,-2", "12,-3", "13,0"])]
)  # fmt: skip
def test_predict_writes_a_line_a_row(tmp_path, trained, form, line):
  model = _model(form, output_path=str(tmp_path / "out"), output_fields="uid", delimiter=",")
  with LocalTraining(model, CpuTrainingConfig(), trained) as local:
    predictions = list(local.predict())
  assert len(predictions) == 6
  assert _lines(tmp_path / "out") == line * 2


def test_fields_of_every_kind(tmp_path, trained):
  model = _model(output_path=str(tmp_path), output_fields="name, pair ,uid")
  with LocalTraining(model, CpuTrainingConfig(), trained) as local:
    list(local.predict())
  assert _lines(tmp_path)[:2] == ['"a"\t[1.5 2]\t11\t-2\t-4', '"b"\t[0.25 1]\t12\t-3\t-6']


def test_evaluate_writes_too_and_training_does_not(tmp_path, trained):
  model = _model(output_path=str(tmp_path / "out"), output_fields="uid", delimiter=" ")
  with LocalTraining(model, CpuTrainingConfig(), trained) as local:
    metrics = local.evaluate()
  assert metrics["loss"] == pytest.approx(np.mean([-2, -3, 0]) * 3)
  assert _lines(tmp_path / "out") == ["11 -2 -4", "12 -3 -6", "13 0 0"] * 2
  cpu_training.local_train_internal(
    _model(output_path=str(tmp_path / "other"), output_fields="uid"), CpuTrainingConfig(), str(tmp_path / "m"), steps=1
  )
  assert not (tmp_path / "other").exists()


def test_each_worker_has_a_file(tmp_path):
  from monolith.native_training._head_spec import Heads
  from monolith.native_training._prediction_files import write_predictions

  context = native_task_context.NativeTaskContext(0, 0, 4, 3, "m", None, "worker")
  with tf.Graph().as_default(), native_task_context.with_ctx(context):
    model = _model(output_path=str(tmp_path), output_fields="uid")
    heads = Heads(["h"], [None], [tf.constant([0.5])], [True], None)
    file = write_predictions(model, {"uid": tf.constant([7])}, heads)
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[file.hook]) as session:
      session.run(file.write)
  assert _lines(tmp_path, worker=3) == ["7\t0.5"]


@pytest.mark.parametrize(
  ("fields", "error", "message"),
  [
    (None, ValueError, "output_fields is empty"),
    ("uid,gone", KeyError, "output_fields has 'gone', which the features"),
  ],
)
def test_mistakes_are_named(tmp_path, trained, fields, error, message):
  model = _model(output_path=str(tmp_path), output_fields=fields)
  with LocalTraining(model, CpuTrainingConfig(), trained) as local, pytest.raises(error, match=message):
    list(local.predict())
