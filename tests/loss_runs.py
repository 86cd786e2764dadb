# SPDX-License-Identifier: Apache-2.0
"""Runs of a loss in the three ways that TensorFlow runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import monolith.native_training.losses  # noqa: F401  chooses Keras

import tensorflow as tf  # isort: skip

MODES = ("eager", "function", "graph")


def run(
  mode: str, function: Callable[..., Any], arrays: Sequence[Any], wanted: Sequence[int], unknown_batch: bool = False
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Returns `function(*arrays)` and its gradients with respect to the arrays at `wanted`.

  Args:
    mode: one of MODES.
    function: takes tensors, returns a scalar.
    arrays: arguments.
    wanted: positions of those to differentiate by; no gradient counts as zeros.
    unknown_batch: leave the first axis of every argument open, where the mode is not eager.
  """
  arrays = [np.asarray(a) for a in arrays]
  if mode == "graph":
    return _graph(function, arrays, wanted, unknown_batch)
  call = lambda *inputs: _differentiate(function, inputs, wanted)  # noqa: E731
  if mode == "function":
    shapes = [[None, *a.shape[1:]] if unknown_batch and a.ndim else a.shape for a in arrays]
    call = tf.function(call, input_signature=[tf.TensorSpec(s, a.dtype) for s, a in zip(shapes, arrays, strict=True)])
  value, gradients = call(*[tf.constant(a) for a in arrays])
  return value.numpy(), [g.numpy() for g in gradients]


def _differentiate(function, inputs, wanted):
  with tf.GradientTape() as tape:
    tape.watch([inputs[i] for i in wanted])
    value = function(*inputs)
  return value, tape.gradient(value, [inputs[i] for i in wanted], unconnected_gradients="zero")


def _graph(function, arrays, wanted, unknown_batch):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    shapes = [[None, *a.shape[1:]] if unknown_batch and a.ndim else a.shape for a in arrays]
    inputs = [tf.compat.v1.placeholder(a.dtype, s) for a, s in zip(arrays, shapes, strict=True)]
    value = function(*inputs)
    gradients = tf.gradients(value, [inputs[i] for i in wanted], unconnected_gradients="zero")
    return session.run([value, gradients], dict(zip(inputs, arrays, strict=True)))
