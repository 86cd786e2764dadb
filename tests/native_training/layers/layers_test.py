# SPDX-License-Identifier: Apache-2.0
"""The package as a namespace, and layers on both sides of a graph."""

import numpy as np
import pytest

from monolith.core import hyperparams, keras_versions
from monolith.native_training import layers

import tensorflow as tf  # isort: skip


def _keras_classes():
  classes = {n: getattr(tf.keras.layers, n) for n in dir(tf.keras.layers)}
  return {
    n: c for n, c in classes.items()
    if isinstance(c, type) and issubclass(c, tf.keras.layers.Layer) and c is not tf.keras.layers.Layer
  }  # fmt: skip


def test_namespace_is_keras_with_our_dense():
  for name, cls in _keras_classes().items():
    if name != "Dense":
      assert getattr(layers, name) is cls
  assert layers.Dense is not tf.keras.layers.Dense and layers.MergeType.STACK == "stack"
  assert not hasattr(layers, "BatchNorm") and not hasattr(layers, "Pooling")


def test_star_import_gives_layers_only():
  names: dict = {}
  exec("from monolith.native_training.layers import *", names)
  assert {"MLP", "Dense", "LogitCorrection", "Sigmoid2", "Dropout", "merge_tensor_list"} <= set(names)
  assert {
    "AGRUCell", "AddBias", "AvgPooling", "DIEN", "DIN", "DMR_U2I", "GradNorm", "LHUCTower", "LayerNorm", "MMoE",
    "MaxPooling", "SNR", "SumPooling", "dynamic_rnn_with_attention",
  } <= set(names)  # fmt: skip
  assert not {"tf", "annotations", "add_params_to_keras", "utils", "mlp", "dense"} & set(names)


@pytest.mark.parametrize("name", _keras_classes())
def test_every_keras_layer_has_params_of_its_own(name):
  cls = _keras_classes()[name]
  p = cls.params()
  assert isinstance(p, hyperparams.InstantiableParams) and p.cls is cls and p.name == cls.__name__
  assert layers.keras_layers[name] is cls


@pytest.mark.parametrize(
  "name, settings", [("Conv1DTranspose", {"filters": 2, "kernel_size": 3}), ("SimpleRNN", {"units": 2})]
)
def test_params_make_the_class_itself_not_its_base(name, settings):
  p = getattr(layers, name).params()
  p.set(**settings)
  assert type(p.instantiate()) is getattr(layers, name)


def test_keras_dense_still_is_keras_own():
  p = tf.keras.layers.Dense.params()
  p.units = 3
  assert type(p.instantiate()) is tf.keras.layers.Dense


def test_layers_made_before_a_graph_work_after_it():
  x = np.ones((2, 3), np.float32)
  mlp = layers.MLP([2, 1], "prelu", enable_batch_normalization=True)
  model = tf.keras.Sequential([layers.Dense(2), tf.keras.layers.ReLU()])
  before = mlp(x).numpy(), model(x).numpy()
  with keras_versions.keep_eager_layers(), tf.Graph().as_default():
    layers.MLP([2, 1], "prelu", enable_batch_normalization=True)(tf.constant(x))
    tf.keras.Sequential([layers.Dense(2), tf.keras.layers.ReLU()])(tf.constant(x))
  np.testing.assert_array_equal(mlp(x), before[0])
  np.testing.assert_array_equal(model(x), before[1])


def test_saved_model_round_trip(tmp_path):
  x = np.ones((2, 3), np.float32)
  model = tf.keras.Sequential([layers.MLP([4, 2], ["prelu", "sigmoid2"]), layers.Dense(1, allow_kernel_norm=True)])
  expected = model(x).numpy()
  tf.saved_model.save(model, str(tmp_path / "m"))
  np.testing.assert_allclose(tf.saved_model.load(str(tmp_path / "m"))(x), expected, atol=1e-6)
