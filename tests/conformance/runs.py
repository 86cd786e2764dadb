# SPDX-License-Identifier: Apache-2.0
"""Runs of a registered layer: eagerly, in a tf.function, in a TF1 graph."""

from __future__ import annotations

import contextlib
from typing import Any

from conformance import cases
import numpy as np

from monolith.core import keras_versions

import tensorflow as tf  # isort: skip


def to_tensors(arrays: Any) -> Any:
  return tf.nest.map_structure(tf.constant, arrays)


def to_arrays(tensors: Any) -> list[np.ndarray]:
  return [np.asarray(t) for t in tf.nest.flatten(tensors)]


def weighted_sum(outputs: Any) -> tf.Tensor:
  """A scalar that weighs every output element differently, so that no gradient cancels by symmetry."""
  total = tf.constant(0.0)
  for tensor in tf.nest.flatten(outputs):
    flat = tf.cast(tf.reshape(tensor, [-1]), tf.float32)
    total += tf.reduce_sum(flat * tf.sin(1.0 + tf.cast(tf.range(tf.size(flat)), tf.float32)))
  return total


@contextlib.contextmanager
def policy(name: str):
  """Within, layers are made with a dtype policy."""
  before = tf.keras.mixed_precision.global_policy()
  tf.keras.mixed_precision.set_global_policy(name)
  try:
    yield
  finally:
    tf.keras.mixed_precision.set_global_policy(before)


def build(case: cases.LayerCase, seed: int = 7) -> Any:
  """Returns the layer, with its weights drawn from a seed and moved off values that hide mistakes, such as zero."""
  tf.keras.utils.set_random_seed(seed)
  tf.keras.backend.reset_uids()  # automatic names start at 0, as in a new graph
  layer = case.build()
  case.call(layer, to_tensors(cases.draw(case.inputs)))
  generator = np.random.default_rng(seed)
  trainable = {id(w) for w in layer.trainable_weights}
  for weight in layer.weights:
    if id(weight) in trainable:
      weight.assign_add(generator.uniform(0.05, 0.2, weight.shape).astype(weight.dtype.as_numpy_dtype))
  return layer


def differentiate(case: cases.LayerCase, layer: Any, inputs: Any, call: Any = None) -> tuple[Any, Any, list[Any]]:
  """Returns outputs, input gradients and weight gradients of the weighted sum; None where there is none."""
  floats = [t for t in tf.nest.flatten(inputs) if t.dtype.is_floating]
  with tf.GradientTape() as tape:
    tape.watch(floats)
    outputs = (call or case.call)(layer, inputs)
    total = weighted_sum(outputs)
  gradients = tape.gradient(total, [floats, list(layer.trainable_weights)])
  return outputs, gradients[0], gradients[1]


def in_graph(case: cases.LayerCase, weights: list[np.ndarray], unknown_batch: bool) -> tuple[list, list, list]:
  """Returns outputs, gradients and names of weights of a fresh layer in a TF1 graph."""
  arrays = cases.draw(case.inputs)
  with keras_versions.keep_eager_layers(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
    make = lambda spec: tf.compat.v1.placeholder(spec.dtype, spec.shape)  # noqa: E731
    inputs = tf.nest.map_structure(make, cases.specs(case.inputs)) if unknown_batch else to_tensors(arrays)
    layer = case.build()
    outputs = tf.nest.flatten(case.call(layer, inputs))
    floats = [t for t in tf.nest.flatten(inputs) if t.dtype.is_floating]
    wanted = [*floats, *layer.trainable_weights]
    gradients = [g for g in tf.gradients(weighted_sum(outputs), wanted) if g is not None]
    gradients = [tf.convert_to_tensor(g) for g in gradients]
    # In one run, as every further one would optimize the graph anew.
    values = {v.initializer.inputs[1]: value for v, value in zip(layer.weights, weights, strict=True)}
    session.run(tf.compat.v1.global_variables_initializer(), values)
    feeds = dict(zip(tf.nest.flatten(inputs), tf.nest.flatten(arrays), strict=True)) if unknown_batch else {}
    outputs, gradients = session.run([outputs, gradients], feeds)
    return outputs, gradients, [w.name for w in layer.weights]
