# SPDX-License-Identifier: Apache-2.0
"""Running one layer in the three ways that TensorFlow runs, and deriving a NumPy twin."""

import derivatives
import numpy as np
import pytest

from monolith.core import keras_versions

import tensorflow as tf  # isort: skip


@pytest.fixture
def wave():
  """Returns W(shape, s), row-major, element i = (((7i + s) mod 11) - 5) / 10."""

  def W(shape, s):
    return ((((7 * np.arange(int(np.prod(shape))) + s) % 11) - 5) / 10).reshape(shape).astype(np.float32)

  return W


@pytest.fixture
def derive():
  """Returns derive(f, arrays): gradients of the scalar f(*arrays) by central differences in float64."""

  return derivatives.derive


def _loss(outputs):
  """A scalar that weighs every output element differently."""
  flat = tf.reshape(outputs, [-1])
  return tf.reduce_sum(flat * tf.cast(tf.range(1, tf.size(flat) + 1), flat.dtype))


def _eager(make, inputs, weights, kwargs, function=False):
  layer, inputs = make(), tf.nest.map_structure(tf.constant, inputs)
  call = tf.function(lambda i: layer(i, **kwargs)) if function else (lambda i: layer(i, **kwargs))
  if weights is not None:
    call(inputs)
    layer.set_weights(weights)
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    outputs = call(inputs)
    loss = _loss(outputs)
  gradients = tape.gradient(loss, [inputs, layer.trainable_weights])
  return tf.nest.map_structure(lambda t: t.numpy(), (outputs, *gradients))


def _graph(make, inputs, weights, kwargs):
  with keras_versions.keep_eager_layers(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
    layer, inputs = make(), tf.nest.map_structure(tf.constant, inputs)
    outputs = layer(inputs, **kwargs)
    flat = [*tf.nest.flatten(inputs), *layer.trainable_weights]
    gradients = tf.gradients(_loss(outputs), flat)
    setting = [] if weights is None else [v.assign(w) for v, w in zip(layer.weights, weights, strict=True)]
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(setting)
    count = len(tf.nest.flatten(inputs))
    outputs, gradients = session.run([outputs, gradients])
    return outputs, tf.nest.pack_sequence_as(inputs, gradients[:count]), gradients[count:]


@pytest.fixture(params=["eager", "function", "graph"])
def run_layer(request):
  """Returns run(make, inputs, weights=None, **call_kwargs) -> (outputs, input gradients, weight gradients) as arrays.

  The gradients are those of sum(outputs * (1, 2, 3, ...)).
  """

  def run(make, inputs, weights=None, **kwargs):
    if request.param == "graph":
      return _graph(make, inputs, weights, kwargs)
    return _eager(make, inputs, weights, kwargs, function=request.param == "function")

  return run


@pytest.fixture
def in_graph():
  """A TF1 graph with a session; layers made in it do not disturb those made elsewhere."""
  with keras_versions.keep_eager_layers(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
    yield session
