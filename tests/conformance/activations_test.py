# SPDX-License-Identifier: Apache-2.0
"""What holds for every registered activation beyond what holds for a layer."""

from conformance import cases
from conformance import register  # noqa: F401  fills the lists of `cases`
import numpy as np
import pytest

from monolith.native_training.layers import advanced_activations

import tensorflow as tf  # isort: skip

_X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(2, 6)


@pytest.mark.parametrize("name", cases.ACTIVATIONS)
def test_every_spelling_is_the_same_activation(name):
  layer = advanced_activations.get(name)
  text = advanced_activations.serialize(layer)
  assert text is not None
  for other in (name.upper(), type(layer), layer, text, advanced_activations.deserialize(text)):
    again = advanced_activations.get(other)
    assert type(again) is type(layer) and advanced_activations.serialize(again) == text
    np.testing.assert_allclose(again(_X), layer(_X))


@pytest.mark.parametrize("name", cases.ACTIVATIONS)
def test_huge_inputs_give_no_nan(name):
  """Neither the value nor the gradient; e^x alone is rightly infinite."""
  x = tf.constant([[-1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30]])
  layer = advanced_activations.get(name)
  with tf.GradientTape() as tape:
    tape.watch(x)
    outputs = layer(x)
  gradient = tape.gradient(outputs, x)
  assert not np.isnan(outputs).any()
  assert not np.isnan(gradient).any()
