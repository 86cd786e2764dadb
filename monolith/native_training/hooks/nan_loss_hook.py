# SPDX-License-Identifier: Apache-2.0
"""Ends a loop whose loss is not a number, before anything saves what came of it."""

from __future__ import annotations

from typing import List, Optional

import tensorflow as tf

__all__ = ["NanLossError", "NanLossHook"]


class NanLossError(tf.compat.v1.train.NanLossDuringTrainingError):
  """The loss is NaN; the message says at which step, and which variables are no longer finite."""

  def __init__(self, message: str):
    super().__init__(message)
    self._message = message

  def __str__(self) -> str:
    return self._message


class NanLossHook(tf.compat.v1.train.SessionRunHook):
  """Raises `NanLossError` after a step whose loss is NaN. Belongs before hooks that save.

  Args:
    loss: the loss, a scalar.
  """

  def __init__(self, loss: tf.Tensor):
    self._loss = loss
    self._names: List[str] = []
    self._finite: List[tf.Tensor] = []
    self._step: Optional[tf.Tensor] = None

  def begin(self) -> None:
    variables = [v for v in tf.compat.v1.trainable_variables() if v.dtype.is_floating]
    self._names = [v.op.name for v in variables]
    # Read once the loss is NaN, never in a step.
    self._finite = [tf.reduce_all(tf.math.is_finite(v.read_value())) for v in variables]
    self._step = tf.compat.v1.train.get_global_step()

  def before_run(self, run_context):
    del run_context
    return tf.compat.v1.train.SessionRunArgs(self._loss)

  def after_run(self, run_context, run_values) -> None:
    loss = run_values.results
    if loss == loss:
      return
    step, finite = run_context.session.run([self._step, self._finite])
    broken = [name for name, ok in zip(self._names, finite, strict=True) if not ok]
    raise NanLossError(
      f"the loss {self._loss.name!r} is NaN at global step {step}; dense variables that are not finite: "
      f"{broken or 'none'}. Nothing of this step is saved: check inputs, learning rates and clipping, and go on from "
      "the newest checkpoint."
    )
