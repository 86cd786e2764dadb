# SPDX-License-Identifier: Apache-2.0
"""RMSprop with momentum and weight decay."""

from __future__ import annotations

from typing import Any

from monolith.native_training.optimizers._dense_only import DenseOnlyOptimizer, require
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf


class RmspropOptimizer(DenseOnlyOptimizer):
  """RMSprop with momentum; for dense float32 resource variables.

  With `g' = weight_decay * var + g`, one step is

      v += (1 - beta2) * (g'^2 - v)                           use_v2: v = beta2 * v + g'^2
      m = beta1 * m + learning_rate * g' / sqrt(v + epsilon)          ... / (sqrt(v) + epsilon)
      var -= m

  after Tieleman and Hinton, lecture 6.5 of "Neural Networks for Machine Learning", 2012. The squares start at 0 and are
  not corrected for it: with `beta2` of 0.999 the first steps are about 30 times the learning rate. In the second form
  squares are summed, not averaged, and steps get shorter as they add up to 1 / (1 - beta2) of them.

  Slots, zeros of the variable's shape, are named `<variable>/Rmsprop/m` and `v`.

  Args:
    learning_rate: a number, a tensor, or a function without arguments such as a `LearningRateFunction`, which is called
      whenever gradients are applied.
    beta1: share of the momentum kept a step, in [0, 1).
    beta2: share of the squares kept a step, in [0, 1] and below 1 but in the second form.
    epsilon: >= 0, bounds the step of weights that hardly get a gradient.
    weight_decay: >= 0, L2 regularization as part of the gradient.
    use_locking: kept for compatibility; updates lock their variables in any case.
    use_v2: take the second form.
    name: prefix of the slots' names.

  Raises:
    ValueError: a setting is out of range.

  Example:

  >>> weight = tf.Variable(0.1)
  >>> optimizer = RmspropOptimizer(learning_rate=0.1, beta1=0.9, beta2=0.9, epsilon=0.1, weight_decay=1.0)
  >>> _ = optimizer.apply_gradients([(tf.constant(0.12), weight)])
  >>> print(f"{weight.numpy():.4f}")
  0.0321
  """

  _slot_names = ("m", "v")

  def __init__(
    self,
    learning_rate: Any = 5e-6,
    beta1: float = 0.99,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    use_locking: bool = False,
    use_v2: bool = False,
    name: str = "Rmsprop",
  ):
    super().__init__(learning_rate, use_locking, name)
    require(0 <= beta1 < 1, "RmspropOptimizer", "beta1", beta1, "in [0, 1)")
    require(0 <= beta2 < 1 or (use_v2 and beta2 == 1), "RmspropOptimizer", "beta2", beta2, "in [0, 1)")
    require(epsilon >= 0, "RmspropOptimizer", "epsilon", epsilon, ">= 0")
    require(weight_decay >= 0, "RmspropOptimizer", "weight_decay", weight_decay, ">= 0")
    self._beta1 = beta1
    self._beta2 = beta2
    self._epsilon = epsilon
    self._weight_decay = weight_decay
    self._use_v2 = use_v2

  def _resource_apply_dense(self, grad: tf.Tensor, handle: Any) -> Any:
    return gen_monolith_ops.resource_apply_rmsprop(
      handle.handle,
      *self._slot_handles(handle),
      self._learning_rate_tensor,
      self._beta1,
      self._beta2,
      self._epsilon,
      self._weight_decay,
      grad,
      use_locking=self._use_locking,
      use_v2=self._use_v2,
    )
