# SPDX-License-Identifier: Apache-2.0
"""Steps of dense optimizers as registry.py has them: a gradient of a matrix comes in, the stepped matrix goes out.

Shampoo is a composition itself, and has no case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.layers.registry import WIDTH, arrays, case

from monolith.native_training.optimizers.adamom import AdamomOptimizer
from monolith.native_training.optimizers.rmsprop import RmspropOptimizer

import tensorflow as tf

UNITS = 256
RATE, DECAY, EPSILON, SQUARES, MOMENTUM = 0.01, 1e-3, 1e-6, 0.99, 0.9


class _Stepped:
  """Takes steps of a matrix; `weights` are the matrix and its slots by name, none of which is trained by a gradient."""

  def __init__(self, optimizer: tf.compat.v1.train.Optimizer):
    self._optimizer = optimizer
    self._matrix = tf.Variable(tf.zeros([WIDTH, UNITS]), trainable=False)
    self.weights = []

  def __call__(self, gradient: tf.Tensor) -> tf.Tensor:
    self._optimizer.apply_gradients([(gradient, self._matrix)])
    if not self.weights:
      slots = [self._optimizer.get_slot(self._matrix, name) for name in self._optimizer.get_slot_names()]
      self.weights = [self._matrix, *slots]
    return self._matrix.read_value()


def _gradient(batch: int) -> Any:
  return arrays(WIDTH, (UNITS,))


def _case(name: str, make: Callable[[], tf.compat.v1.train.Optimizer]) -> Any:
  return case(name, _gradient, lambda: _Stepped(make()), passes=("forward",))


def _adamom(gradient: tf.Tensor, weights: list[tf.Variable], bounded: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
  matrix, c, m, v = weights
  gradient += DECAY * matrix
  m.assign(MOMENTUM * m + (1 - MOMENTUM) * gradient)
  v.assign(SQUARES * v + tf.square(gradient))
  c.assign(SQUARES * c + 1)
  return matrix.assign_sub(RATE * m * bounded(v / c)).read_value()


@_case("adamom", lambda: AdamomOptimizer(RATE, SQUARES, MOMENTUM, EPSILON, DECAY))
def _adamom_first(inputs, weights):
  return _adamom(inputs, weights, lambda v: tf.math.rsqrt(v + EPSILON))


@_case("adamom_v2", lambda: AdamomOptimizer(RATE, SQUARES, MOMENTUM, EPSILON, DECAY, use_v2=True))
def _adamom_second(inputs, weights):
  return _adamom(inputs, weights, lambda v: 1 / (tf.sqrt(v) + EPSILON))


@_case("rmsprop", lambda: RmspropOptimizer(RATE, MOMENTUM, SQUARES, EPSILON, DECAY))
def _rmsprop(inputs, weights):
  matrix, m, v = weights
  gradient = inputs + DECAY * matrix
  v.assign(v + (1 - SQUARES) * (tf.square(gradient) - v))
  m.assign(MOMENTUM * m + RATE * gradient * tf.math.rsqrt(v + EPSILON))
  return matrix.assign_sub(m).read_value()


@_case("rmsprop_v2", lambda: RmspropOptimizer(RATE, MOMENTUM, SQUARES, EPSILON, DECAY, use_v2=True))
def _rmsprop_second(inputs, weights):
  matrix, m, v = weights
  gradient = inputs + DECAY * matrix
  v.assign(SQUARES * v + tf.square(gradient))
  m.assign(MOMENTUM * m + RATE * gradient / (tf.sqrt(v) + EPSILON))
  return matrix.assign_sub(m).read_value()
