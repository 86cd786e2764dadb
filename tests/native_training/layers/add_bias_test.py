# SPDX-License-Identifier: Apache-2.0
"""AddBias for all ranks and data formats."""

import numpy as np
import pytest

from monolith.native_training.layers import add_bias
from monolith.native_training.layers.add_bias import AddBias

import tensorflow as tf  # isort: skip

# What a caller would write, with inputs: (class, settings, shapes of inputs).
EXAMPLES = {"AddBias": (AddBias, {}, (4, 3, 2))}

_SHAPES = [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 2)]


@pytest.mark.parametrize("shape", _SHAPES)
def test_what_every_layer_promises(check_layer, wave, shape):
  check_layer(AddBias, {"regularizer": "l2"}, wave(shape, 1))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("shape", _SHAPES)
def test_values_and_gradients(run_layer, wave, shape, data_format):
  x, bias = wave(shape, 1), wave(shape[1:], 4)
  outputs, input_gradient, (bias_gradient,) = run_layer(AddBias, x, [bias], data_format=data_format)
  np.testing.assert_allclose(outputs, x + bias, atol=1e-6)
  weights = np.arange(1, x.size + 1).reshape(shape)
  np.testing.assert_array_equal(input_gradient, weights)
  np.testing.assert_array_equal(bias_gradient, weights.sum(0))


def test_weight_and_its_name():
  layer = AddBias(name="a", regularizer="l2")
  layer(tf.ones([2, 3, 4]))
  assert layer.bias.name == "a/bias:0" and layer.bias.shape == (3, 4) and not layer.bias.numpy().any()
  assert len(layer.losses) == 1


@pytest.mark.parametrize(
  "call, message",
  [
    (lambda: AddBias()(tf.ones([2, 3]), data_format="NHWC"), "Unknown data_format: 'NHWC'; .* takes channels_last or"),
    (lambda: AddBias()(tf.ones([2])), r"the input is \(2,\); its rank must be 2 to 5"),
    (lambda: AddBias().build((None, None)), "all sizes but the first known"),
  ],
)
def test_wrong_arguments(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_examples(run_examples):
  run_examples(add_bias)
