# SPDX-License-Identifier: Apache-2.0
"""Sum, mean and maximum of lists of tensors."""

import numpy as np
import pytest

from monolith.native_training.layers import pooling
from monolith.native_training.layers.pooling import AvgPooling, MaxPooling, Pooling, SumPooling

import tensorflow as tf  # isort: skip

_TWINS = {SumPooling: lambda a: a.sum(0), AvgPooling: lambda a: a.mean(0), MaxPooling: lambda a: a.max(0)}
_INPUTS = list(np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32))

# What a caller would write, with inputs: (class, settings, shapes of inputs).
EXAMPLES = {cls.__name__: (cls, {}, [(4, 2)] * 3) for cls in _TWINS}


@pytest.mark.parametrize("cls", _TWINS)
def test_what_every_layer_promises(check_layer, cls):
  check_layer(cls, {}, _INPUTS)


@pytest.mark.parametrize("cls", _TWINS)
def test_values_and_gradients(run_layer, derive, cls):
  outputs, gradients, _ = run_layer(cls, _INPUTS)
  twin = lambda *a: _TWINS[cls](np.stack(a))  # noqa: E731
  np.testing.assert_allclose(outputs, twin(*_INPUTS), atol=1e-6)
  wanted = derive(lambda *a: (twin(*a).ravel() * np.arange(1, 9)).sum(), _INPUTS)
  for found, w in zip(gradients, wanted, strict=True):
    np.testing.assert_allclose(found, w, atol=1e-4)


@pytest.mark.parametrize("cls", _TWINS)
def test_one_tensor_comes_back_as_it_is(cls):
  x = tf.constant(_INPUTS[0])
  assert cls()([x]) is x


def test_first_of_equals_gets_the_gradient():
  x, y = tf.constant([1.0]), tf.constant([1.0])
  with tf.GradientTape() as tape:
    tape.watch([x, y])
    outputs = MaxPooling()([x, y])
  assert [g.numpy().tolist() for g in tape.gradient(outputs, [x, y])] == [[1], [0]]


def test_wrong_inputs():
  with pytest.raises(TypeError, match="ListChecker got candidate in the wrong type.*; pass a list"):
    SumPooling()(tf.ones([2, 3]))
  with pytest.raises(ValueError, match="its length is 0"):
    SumPooling().call([])
  with pytest.raises(NotImplementedError, match="Half does not define pool"):
    type("Half", (Pooling,), {})()([tf.ones([1]), tf.ones([1])])


def test_examples(run_examples):
  run_examples(pooling)


@pytest.mark.parametrize("cls", _TWINS)
def test_config_has_the_dtype_in_effect(cls):
  assert cls(name="p").get_config() == {"name": "p", "trainable": True, "dtype": "float32"}
