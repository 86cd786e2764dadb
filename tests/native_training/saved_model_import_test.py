# SPDX-License-Identifier: Apache-2.0
"""Exported models, loaded and queried in this process."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ffm_examples

from monolith.native_training import estimator
from monolith.native_training.model import TestFFMModel
from monolith.native_training.model_export.export_context import ExportMode

import tensorflow as tf  # isort: skip


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_an_exported_model_answers_as_predict_does(tmp_path, num_ps):
  params = TestFFMModel.params()
  params.name = "ffm"
  params.train.per_replica_batch_size = 64
  params.serving.export_mode = ExportMode.STANDALONE
  config = estimator.RunnerConfig(is_local=True, num_ps=num_ps, model_dir=str(tmp_path))
  model = estimator.Estimator(params, config)
  model.train(steps=10)
  assert model.evaluate(steps=10)["global_step"] == 10
  predicted = list(itertools.islice(model.predict(), 64))
  exported = model.export_saved_model().decode()
  examples = ffm_examples.first_batch(params)
  with estimator.import_saved_model(exported) as infer:
    answers = infer(examples)
    assert list(answers) == ["output"]
    np.testing.assert_allclose(answers["output"], predicted, rtol=1e-6)
  with estimator.import_saved_model(str(tmp_path / "exported_models"), output_name="ctr") as infer:
    np.testing.assert_array_equal(infer({"instances": examples})["ctr"], answers["output"])


def _sums(path):
  """A model of two inputs and two outputs, and one of a single input under another signature."""

  class Sums(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], name="a"), tf.TensorSpec([None], name="b")])
    def both(self, a, b):
      return {"sum": a + b, "difference": a - b}

    @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
    def double(self, x):
      return {"doubled": 2 * x}

  sums = Sums()
  tf.saved_model.save(sums, str(path), signatures={"serving_default": sums.both, "double": sums.double})


def test_several_inputs_outputs_and_signatures(tmp_path):
  for version in ("9", "10", "temp-11"):
    _sums(tmp_path / version)
  with estimator.import_saved_model(str(tmp_path)) as infer:
    answers = infer({"a": [1.0], "b": [3.0]})
    assert {name: values.tolist() for name, values in answers.items()} == {"sum": [4], "difference": [-2]}
    with pytest.raises(ValueError, match=r"takes inputs \['a', 'b'\], but got \['instances'\]"):
      infer([1.0])
  with estimator.import_saved_model(str(tmp_path / "9"), signature="double") as infer:
    assert infer([1.5])["output"].tolist() == [3]


def test_the_newest_export_is_the_highest_number(tmp_path):
  (tmp_path / "9").mkdir()
  _sums(tmp_path / "10")
  with estimator.import_saved_model(str(tmp_path), signature="double") as infer:
    assert infer([1.0])["output"].tolist() == [2]


def test_what_cannot_be_loaded(tmp_path):
  with (
    pytest.raises(RuntimeError, match="is no SavedModel and has no export"),
    estimator.import_saved_model(str(tmp_path)),
  ):
    pass
  _sums(tmp_path / "1")
  with pytest.raises(KeyError, match="has no signature 'rank'; it has"):
    with estimator.import_saved_model(str(tmp_path), signature="rank"):
      pass
