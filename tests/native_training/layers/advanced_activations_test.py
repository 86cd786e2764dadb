# SPDX-License-Identifier: Apache-2.0
"""Activations: values, names, and the text that configs hold."""

import numpy as np
import pytest

from monolith.core import hyperparams
from monolith.native_training.layers import advanced_activations as ad_acts

import tensorflow as tf  # isort: skip

_X = np.array([[-1.0, 0.5, 2.0]], np.float32)
_VALUES = {
  "relu": [0, 0.5, 2],
  "leakyrelu": [-0.3, 0.5, 2],
  "elu": [-0.632121, 0.5, 2],
  "prelu": [0, 0.5, 2],
  "thresholdedrelu": [0, 0, 2],
  "softmax": [0.039113, 0.175290, 0.785597],
  "exponential": [0.367879, 1.648721, 7.389056],
  "gelu": [-0.158655, 0.345731, 1.9545],
  "hard_sigmoid": [0.3, 0.6, 0.9],
  "hardsigmoid": [0.3, 0.6, 0.9],
  "linear": [-1, 0.5, 2],
  "selu": [-1.111331, 0.525350, 2.101402],
  "sigmoid": [0.268941, 0.622459, 0.880797],
  "sigmoid2": [0.537883, 1.244919, 1.761594],
  "softplus": [0.313262, 0.974077, 2.126928],
  "softsign": [-0.5, 0.333333, 0.666667],
  "swish": [-0.268941, 0.311230, 1.761594],
  "tanh": [-0.761594, 0.462117, 0.964028],
}


def test_the_register_has_these_names():
  assert frozenset(_VALUES) == ad_acts.ALL_ACTIVATION_NAMES


@pytest.mark.parametrize("name", _VALUES)
def test_values(run_layer, name):
  outputs, _, _ = run_layer(lambda: ad_acts.get(name), _X)
  np.testing.assert_allclose(outputs, [_VALUES[name]], atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(_VALUES) - {"thresholdedrelu"}))
def test_gradients_are_the_slopes(run_layer, name):
  step = np.float32(1e-3)
  _, gradient, _ = run_layer(lambda: ad_acts.get(name), _X)
  layer = ad_acts.get(name)
  loss = lambda x: float(np.sum(layer(tf.constant(x)).numpy() * [1, 2, 3]))  # noqa: E731
  slopes = []
  for i in range(3):
    delta = np.eye(3, dtype=np.float32)[i : i + 1] * step
    slopes.append((loss(_X + delta) - loss(_X - delta)) / (2 * float(step)))
  np.testing.assert_allclose(gradient, [slopes], atol=5e-3)


def test_prelu_learns_a_slope_an_input(run_layer):
  _, _, weight_gradients = run_layer(lambda: ad_acts.get("prelu"), _X)
  np.testing.assert_allclose(weight_gradients, [[-1, 0, 0]])


@pytest.mark.parametrize("name", ad_acts.__all__)
def test_every_class_has_params(name):
  cls = getattr(ad_acts, name)
  p = cls.params()
  assert isinstance(p, hyperparams.InstantiableParams) and p.cls is cls
  assert type(p.instantiate()) is cls and p.instantiate().name == name


def test_get_by_name_in_any_case():
  assert type(ad_acts.get("ReLU")) is ad_acts.ReLU and type(ad_acts.get("TANH")) is ad_acts.Tanh
  assert ad_acts.get(None) is None


def test_get_classes_and_layers():
  assert type(ad_acts.get(tf.keras.layers.PReLU)) is ad_acts.PReLU
  layer = ad_acts.LeakyReLU(alpha=0.1)
  assert ad_acts.get(layer) is layer


def test_get_other_layer_by_its_class_name():
  class Base(tf.keras.layers.Layer):
    pass

  assert type(ad_acts.get(type("Sigmoid", (Base,), {})())) is ad_acts.Sigmoid
  with pytest.raises(TypeError, match="Could not interpret activation function identifier: "):
    ad_acts.get(Base())


@pytest.mark.parametrize(
  "function, cls",
  [
    (tf.nn.relu, "ReLU"), (tf.tanh, "Tanh"), (tf.nn.sigmoid, "Sigmoid"),
    (tf.keras.activations.hard_sigmoid, "HardSigmoid"),
    (tf.keras.activations.selu, "Selu"), (tf.keras.activations.softmax, "Softmax"),
    (tf.keras.activations.linear, "Linear"),
  ],
)  # fmt: skip
def test_get_registered_functions(function, cls):
  assert type(ad_acts.get(function)) is getattr(ad_acts, cls)


def test_get_other_function_as_it_is():
  assert ad_acts.get(tf.exp) is tf.exp
  layer = ad_acts.get_layer(tf.exp)
  np.testing.assert_allclose(layer(_X), np.exp(_X), rtol=1e-6)


@pytest.mark.parametrize(
  "identifier", ["nothing", "3", "__import__('os')", 3, {"name": "Nothing"}, {"name": "Tanh", "alpha": 1}]
)
def test_get_refuses_the_rest(identifier):
  with pytest.raises(TypeError, match="^Could not interpret activation function identifier: "):
    ad_acts.get(identifier)


@pytest.mark.parametrize(
  "layer, text",
  [
    (ad_acts.Tanh(), "{'name': 'Tanh'}"),
    (ad_acts.Sigmoid2(), "{'name': 'Sigmoid2'}"),
    (ad_acts.LeakyReLU(alpha=0.1), "{'name': 'LeakyReLU', 'alpha': 0.1}"),
    (ad_acts.ELU(alpha=0.5), "{'name': 'ELU', 'alpha': 0.5}"),
    (ad_acts.ReLU(max_value=6.0), "{'name': 'ReLU', 'max_value': 6.0, 'negative_slope': 0.0, 'threshold': 0.0}"),
    (ad_acts.ReLU(), "{'name': 'ReLU', 'max_value': None, 'negative_slope': 0.0, 'threshold': 0.0}"),
    (ad_acts.Softmax(axis=1), "{'name': 'Softmax', 'axis': 1}"),
    (ad_acts.ThresholdedReLU(theta=0.3), "{'name': 'ThresholdedReLU', 'theta': 0.3}"),
  ],
)
def test_text_and_back(layer, text):
  assert ad_acts.serialize(layer) == text
  again = ad_acts.deserialize(text)
  assert type(again) is type(layer) and ad_acts.serialize(again) == text
  np.testing.assert_allclose(again(_X), layer(_X))


def test_prelu_text_holds_all_settings():
  layer = ad_acts.PReLU(alpha_initializer=tf.keras.initializers.Constant(0.25), alpha_regularizer="l2", shared_axes=[1])
  again = ad_acts.deserialize(ad_acts.serialize(layer))
  assert again.shared_axes == [1] and isinstance(again.alpha_regularizer, tf.keras.regularizers.L2)
  np.testing.assert_allclose(again(_X), layer(_X))


def test_wrapped_functions_keep_their_name():
  text = ad_acts.serialize(tf.keras.layers.Activation("mish"))
  np.testing.assert_allclose(ad_acts.deserialize(text)(_X), tf.keras.activations.mish(_X))


def test_text_of_nothing_and_of_others():
  assert ad_acts.serialize(None) is None and ad_acts.serialize(tf.keras.layers.Flatten()) is None
  assert ad_acts.deserialize(None) is None


def test_deserialize_leaves_its_argument():
  config = {"name": "LeakyReLU", "alpha": 0.1}
  ad_acts.deserialize(config)
  assert config == {"name": "LeakyReLU", "alpha": 0.1}


def test_clone_keeps_settings_not_weights():
  layer = ad_acts.PReLU(alpha_initializer="ones", name="first")
  layer(_X)
  again = ad_acts.clone(layer, "second")
  assert again.name == "second" and not again.built
  np.testing.assert_allclose(again(_X), _X)
