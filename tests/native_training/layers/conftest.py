# SPDX-License-Identifier: Apache-2.0
"""Running one layer in the three ways that TensorFlow runs, and deriving a NumPy twin."""

import doctest

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


@pytest.fixture
def run_examples():
  """Returns run(module), which runs the examples in a module's docstrings; a module must have some."""

  def run(module):
    namespace = {"tf": tf, "np": np}
    results = doctest.testmod(module, extraglobs=namespace, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 0, f"{module.__name__} has no example"
    assert results.failed == 0, f"{results.failed} examples of {module.__name__} failed; see above"

  return run


def _random_weights(layer):
  random = np.random.default_rng(0)
  return [random.normal(0, 0.5, w.shape).astype(np.float32) for w in layer.weights]


def _run_with_unknown_batch(cls, settings, inputs, weights, call):
  """Returns names of the weights, and outputs for batches of 0, 1 and all rows, of one graph."""
  inputs = tf.nest.map_structure(np.asarray, inputs)
  with keras_versions.keep_eager_layers(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
    feeds = tf.nest.map_structure(lambda a: tf.compat.v1.placeholder(a.dtype, [None, *a.shape[1:]]), inputs)
    layer = cls(**settings)
    outputs = layer(feeds, **call)
    assert all(o.shape[0] is None and None not in o.shape[1:] for o in tf.nest.flatten(outputs))
    session.run([v.assign(w) for v, w in zip(layer.weights, weights, strict=True)])
    flat = list(zip(tf.nest.flatten(feeds), tf.nest.flatten(inputs), strict=True))
    batches = [session.run(outputs, {feed: a[:rows] for feed, a in flat}) for rows in (0, 1, None)]
    return [w.name for w in layer.weights], batches


def _assert_nested_close(found, wanted):
  for f, w in zip(tf.nest.flatten(found), tf.nest.flatten(wanted), strict=True):
    np.testing.assert_allclose(f, w, atol=1e-5)


@pytest.fixture
def check_layer():
  """Returns check(cls, settings, inputs, still=(), **call): what every layer promises.

  A config makes an equal layer, `params()` make one, graphs and eager execution give equal names and outputs, a batch
  may be unknown, empty or single, output shapes are known beforehand, and every weight is trained but those `still`.
  """

  def check(cls, settings, inputs, still=(), **call):
    layer = cls(**settings)
    tensors = tf.nest.map_structure(tf.constant, inputs)
    layer(tensors, **call)
    weights = _random_weights(layer)
    layer.set_weights(weights)
    with tf.GradientTape() as tape:
      outputs = layer(tensors, **call)
      loss = sum(_loss(o) for o in tf.nest.flatten(outputs))
    for weight, gradient in zip(layer.trainable_weights, tape.gradient(loss, layer.trainable_weights), strict=True):
      moved = gradient is not None and np.abs(tf.convert_to_tensor(gradient)).max() > 0
      assert moved or any(s in weight.name for s in still), f"nothing trains {weight.name}"
    outputs = tf.nest.map_structure(np.asarray, outputs)

    config = layer.get_config()
    copy = dict(config)
    again = cls.from_config(config)
    assert config == copy, "the caller's config stays whole"
    assert again.get_config() == config
    p = cls.params()
    p.set(**{"name": layer.name, **settings})
    for other in (again, p.instantiate()):
      other(tensors, **call)
      other.set_weights(weights)
      assert [w.name for w in other.weights] == [w.name for w in layer.weights]
      _assert_nested_close(other(tensors, **call), outputs)

    shapes = layer.compute_output_shape(tf.nest.map_structure(lambda a: tf.TensorShape(np.shape(a)), inputs))
    flat = [shapes] if isinstance(shapes, tf.TensorShape) else shapes
    assert [s.as_list() for s in flat] == [list(o.shape) for o in tf.nest.flatten(outputs)]

    settings = {"name": layer.name, **settings}
    names, (empty, single, full) = _run_with_unknown_batch(cls, settings, inputs, weights, call)
    assert names == [w.name for w in layer.weights]
    assert all(o.shape[0] == 0 for o in tf.nest.flatten(empty))
    _assert_nested_close(full, outputs)
    _assert_nested_close(single, tf.nest.map_structure(lambda o: o[:1], outputs))

  return check
