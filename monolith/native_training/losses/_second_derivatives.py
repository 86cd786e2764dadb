# SPDX-License-Identifier: Apache-2.0
"""What a second derivative of a loss meets that has none."""

from __future__ import annotations

from typing import Any, NoReturn

import tensorflow as tf


def refuse_second_derivatives(gradient_op: str, loss: str) -> None:
  """Makes whoever differentiates the gradient of a loss get a `LookupError` that names both.

  Args:
    gradient_op: type of the op that computes the gradient.
    loss: what its users call the loss.
  """

  @tf.RegisterGradient(gradient_op)
  def _refuse(op: tf.Operation, *grads: Any) -> NoReturn:
    del op, grads
    raise LookupError(
      f"{gradient_op}: second derivatives of {loss} are not defined; write the loss with TensorFlow's own operations "
      "to differentiate it twice."
    )
