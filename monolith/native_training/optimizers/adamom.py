# SPDX-License-Identifier: Apache-2.0
"""Adamom: a decaying Adagrad with momentum."""

from __future__ import annotations

from typing import Any

from monolith.native_training.optimizers._dense_only import DenseOnlyOptimizer, require
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf


class AdamomOptimizer(DenseOnlyOptimizer):
  """Adagrad whose squares fade, with momentum; for dense float32 resource variables.

  With `g' = weight_decay * var + g`, one step is

      m = mom_decay * m + (1 - mom_decay) * g'
      v = ada_decay * v + g'^2
      c = ada_decay * c + 1
      var -= learning_rate * m / sqrt(v / c + epsilon)

  `v / c` is the mean of the squares that have not faded, without a bias to correct; with `ada_decay` 1 it is the mean
  over all steps, where Adagrad (Duchi et al., https://jmlr.org/papers/v12/duchi11a.html) has the sum. The momentum
  starts at 0, so the first steps are short.

  Slots, zeros of the variable's shape, are named `<variable>/Adamom/m`, `v` and `c`.

  Args:
    learning_rate: a number, a tensor, or a function without arguments such as a `LearningRateFunction`, which is called
      whenever gradients are applied. The default is small, as it was chosen for joint training with hash tables.
    ada_decay: share of the squares kept a step, in (0, 1]; they fade over about 1 / (1 - ada_decay) steps.
    mom_decay: share of the momentum kept a step, in [0, 1).
    epsilon: >= 0, added to the mean of squares: bounds the step of weights that hardly get a gradient.
    weight_decay: >= 0, L2 regularization as part of the gradient.
    use_locking: kept for compatibility; updates lock their variables in any case.
    name: prefix of the slots' names.
    use_v2: divide by `sqrt(v / c) + epsilon` instead.

  Raises:
    ValueError: a setting is out of range.

  Example:

  >>> weight = tf.Variable(0.1)
  >>> optimizer = AdamomOptimizer(learning_rate=0.1, ada_decay=0.99, mom_decay=0.9, weight_decay=0.01)
  >>> _ = optimizer.apply_gradients([(tf.constant(0.12), weight)])
  >>> print(f"{weight.numpy():.4f}")
  0.0900
  """

  _slot_names = ("m", "v", "c")

  def __init__(
    self,
    learning_rate: Any = 5e-6,
    ada_decay: float = 0.9999,
    mom_decay: float = 0.99,
    epsilon: float = 1e-6,
    weight_decay: float = 0.0,
    use_locking: bool = False,
    name: str = "Adamom",
    use_v2: bool = False,
  ):
    super().__init__(learning_rate, use_locking, name)
    require(0 < ada_decay <= 1, "AdamomOptimizer", "ada_decay", ada_decay, "in (0, 1]")
    require(0 <= mom_decay < 1, "AdamomOptimizer", "mom_decay", mom_decay, "in [0, 1)")
    require(epsilon >= 0, "AdamomOptimizer", "epsilon", epsilon, ">= 0")
    require(weight_decay >= 0, "AdamomOptimizer", "weight_decay", weight_decay, ">= 0")
    self._ada_decay = ada_decay
    self._mom_decay = mom_decay
    self._epsilon = epsilon
    self._weight_decay = weight_decay
    self._use_v2 = use_v2

  def _resource_apply_dense(self, grad: tf.Tensor, handle: Any) -> Any:
    return gen_monolith_ops.resource_apply_adamom(
      handle.handle,
      *self._slot_handles(handle),
      self._learning_rate_tensor,
      self._ada_decay,
      self._mom_decay,
      self._epsilon,
      self._weight_decay,
      grad,
      use_locking=self._use_locking,
      use_v2=self._use_v2,
    )
